"""The bench against itself: a leak of every kind is found, and so is a secret in every form."""

import base64
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.live.bench import canaries, leaks

SECRET = "sk-canary/upstream+7Qm2ZtXw9LrB4sVd"
SECRETS = {"the upstream's key": SECRET}


@dataclass
class QuietRelay:
    """A relay at rest; a test makes it leak."""

    secrets: dict[str, str] = field(default_factory=lambda: dict(SECRETS))
    own_descriptors: int = 20
    to_upstream: int = 0
    from_callers: int = 0
    lines: list[dict[str, object]] = field(default_factory=list)
    out: str = ""
    err: str = ""

    def descriptors(self) -> int:
        return self.own_descriptors + self.to_upstream

    def sockets_to(self, port: int) -> int:
        return self.to_upstream

    def sockets_from_callers(self) -> int:
        return self.from_callers

    def log_lines(self) -> list[dict[str, object]]:
        return self.lines

    def stdout(self) -> str:
        return self.out

    def stderr(self) -> str:
        return self.err


@dataclass
class QuietUpstream:
    port: int = 1
    busy: int = 0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "SETTLED_SECONDS_MAX", 0.05)


def test_a_relay_that_gave_everything_back_passes() -> None:
    relay, upstream = QuietRelay(), QuietUpstream()
    before = leaks.baseline(relay, upstream)
    relay.lines = [{"request_id": "a"}]
    leaks.assert_back_to_baseline(relay, upstream, before)


def test_an_idle_connection_in_the_pool_is_no_leak() -> None:
    relay, upstream = QuietRelay(), QuietUpstream()
    before = leaks.baseline(relay, upstream)
    relay.to_upstream = 1
    leaks.assert_back_to_baseline(relay, upstream, before, requests=0)


@pytest.mark.parametrize(
    ("leak", "complaint"),
    [
        ({"own_descriptors": 21}, "21 descriptors, 20 before"),
        ({"from_callers": 1}, "1 connections of callers are open"),
        ({"lines": [{"request_id": "a"}]}, "1 log lines for 0 requests"),
        ({"err": "x\nTraceback (most recent call last):\n  KeyError"}, "a traceback in its standard error"),
        ({"out": f"key={SECRET}"}, "the upstream's key is in the relay's standard output"),
    ],
    ids=["descriptor", "caller", "log line", "traceback", "secret"],
)
def test_a_leak_is_named(leak: dict[str, object], complaint: str) -> None:
    relay, upstream = QuietRelay(), QuietUpstream()
    before = leaks.baseline(relay, upstream)
    for name, value in leak.items():
        setattr(relay, name, value)
    with pytest.raises(AssertionError, match=complaint):
        leaks.assert_back_to_baseline(relay, upstream, before, requests=0)


def test_an_upstream_connection_in_use_is_a_leak() -> None:
    relay = QuietRelay()
    before = leaks.baseline(relay, QuietUpstream())
    with pytest.raises(AssertionError, match="neither closed nor idle"):
        leaks.assert_back_to_baseline(relay, QuietUpstream(busy=1), before, requests=0)


def test_a_missing_log_line_is_a_leak() -> None:
    relay, upstream = QuietRelay(), QuietUpstream()
    before = leaks.baseline(relay, upstream)
    with pytest.raises(AssertionError, match="0 log lines for 1 requests"):
        leaks.assert_back_to_baseline(relay, upstream, before)


def test_a_baseline_is_not_taken_while_a_caller_is_connected() -> None:
    with pytest.raises(AssertionError, match="still connected"):
        leaks.baseline(QuietRelay(from_callers=1), QuietUpstream())


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_a_secret_is_found_inside_base64_wherever_it_stands(before: str) -> None:
    text = base64.b64encode(f"{before}{SECRET} and more".encode()).decode()
    assert canaries.search({"a log": text}, SECRETS) == ["the upstream's key is in a log, as base64"]


def test_a_secret_is_found_plain_and_percent_encoded() -> None:
    places = {"plain": f"<{SECRET}>", "bytes": SECRET.encode(), "url": SECRET.replace("/", "%2F").replace("+", "%2B")}
    assert canaries.search(places, SECRETS) == [
        "the upstream's key is in plain",
        "the upstream's key is in bytes",
        "the upstream's key is in url, percent-encoded",
    ]


def test_a_secret_is_found_in_a_file_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_text(f"x{SECRET}x")
    with pytest.raises(AssertionError) as caught:
        canaries.assert_absent({"the capture": path}, SECRETS)
    assert str(caught.value).splitlines()[0] == "the upstream's key is in the capture"
    assert SECRET not in str(caught.value).splitlines()[0]


def test_places_without_the_secret_pass() -> None:
    canaries.assert_absent({"a log": "sk-canary", "the listing": canaries.process_listing()}, SECRETS)


def test_an_empty_secret_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="an empty secret"):
        canaries.search({"a log": ""}, {"nothing": ""})
