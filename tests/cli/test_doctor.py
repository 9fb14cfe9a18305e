"""What the doctor's command takes, and what it answers to a wrong call."""

import json

import pytest

from relay.cli.doctor import PublicUrl
from tests.cli.conftest import Call
from tests.live.bench.ports import free_port


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://relay.example", "https://relay.example"),
        ("https://relay.example/", "https://relay.example"),
        ("https://relay.example/sse/v1/", "https://relay.example/sse"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
    ],
)
def test_an_sdks_base_url_will_do(given: str, taken: str) -> None:
    assert PublicUrl().convert(given, None, None).geturl() == taken


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["relay.example"],
        ["ftp://relay.example"],
        ["https://relay.example?key=x"],
        ["https://u:p@relay.example"],
        ["http://[::1"],
        ["http://a:99999999"],
        ["https://relay.example", "--origin", "app.example"],
        ["https://relay.example", "--key", "a\nb"],
        ["https://relay.example", "--silence", "0"],
        ["https://relay.example", "--ca-file", __file__],
    ],
)
def test_a_wrong_call_is_one(call: Call, arguments: list[str]) -> None:
    assert call("doctor", *arguments).exit_code == 2


def test_an_address_where_nobody_is_has_a_finding(call: Call) -> None:
    port = free_port()
    result = call("doctor", f"http://127.0.0.1:{port}", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [(finding["name"], finding["ok"]) for finding in told["findings"]] == [("unreachable", False)]
    assert told["url"] == f"http://127.0.0.1:{port}"


def test_the_key_may_come_from_the_environment(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_KEY", "no key")
    assert "is no key" in call("doctor", "http://127.0.0.1:1").stderr
