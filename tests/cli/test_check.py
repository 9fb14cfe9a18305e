"""`python -m relay check`: what it looks at, what it says of it, and its exit status."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from relay.cli import check
from tests.live.bench.conversation import Connection
from tests.live.bench.ports import free_port
from tests.live.bench.scripts import answering, error_answer, json_answer, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import chunk

KEY = "sk-canary-Vw3Zq"
Call = Callable[..., Result]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedUpstream]:
    """The configured one; its key is a canary."""
    scripted = ScriptedUpstream().start()
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield scripted
    scripted.stop()


def findings(done: Result) -> dict[str, tuple[bool, str]]:
    return {one["what"]: (one["ok"], one["detail"]) for one in json.loads(done.stdout)}


def test_where_all_is_well_it_says_so_and_exits_0(call: Call, upstream: ScriptedUpstream) -> None:
    done = call("check")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["ok   configuration", "ok   database", "ok   upstream default"]
    assert lines[0].endswith("relay.toml")
    (asked,) = upstream.requests
    assert (asked.method, asked.path, asked.header("authorization")) == ("GET", "/v1/models", f"Bearer {KEY}")


def test_json_has_the_same_findings(call: Call, upstream: ScriptedUpstream) -> None:
    done = call("check", "--json")
    assert done.exit_code == 0
    found = findings(done)
    assert [ok for ok, _ in found.values()] == [True, True, True]
    assert found["database"] == (True, "reachable")
    assert found["upstream default"][1].startswith("answers in ")


def test_offline_asks_nobody(call: Call, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    done = call("check", "--offline", "--json")
    assert (done.exit_code, list(findings(done))) == (0, ["configuration"])
    assert upstream.accepted == 0
    assert list(tmp_path.iterdir()) == []


def test_the_built_in_demo_needs_no_asking(call: Call) -> None:
    done = call("check", "--json")
    assert (done.exit_code, findings(done)["upstream"]) == (0, (True, "the built-in demo"))


@pytest.mark.parametrize("arguments", [(), ("--offline",)])
def test_every_problem_of_the_configuration_is_told(
    call: Call, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RELAY_SERVER__WORKERS", "many")
    monkeypatch.setenv("RELAY_LIMITS__RPN", "1")
    monkeypatch.setenv("RELAY_AUTH__TOKEN_SECRET", "canary-short")
    done = call("check", *arguments)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("BAD  configuration: ") for line in lines)
    assert "canary" not in done.output


REFUSALS = {
    "its key is refused": (error_answer("401 Unauthorized", f"bad_{KEY}"), "answers with status 401"),
    "it fails": (error_answer("500 Oops", "x"), "answers with status 500"),
    "it redirects": (json_answer({}, "Location: http://127.0.0.1:1/", status="302 Found"), "answers with status 302"),
    "it is no HTTP": (b"ICY\r\n\r\n", "ConnectionError"),
}


@pytest.mark.parametrize(("answer", "detail"), REFUSALS.values(), ids=REFUSALS)
def test_an_upstream_that_does_not_work_is_told_with_exit_1(
    call: Call, upstream: ScriptedUpstream, answer: bytes, detail: str
) -> None:
    upstream.answer(answering(answer))
    done = call("check", "--json")
    assert done.exit_code == 1
    assert findings(done)["upstream default"] == (False, detail)
    assert "canary" not in done.output
    assert len(upstream.requests) == 1


def test_an_upstream_that_is_not_there_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{free_port()}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    done = call("check")
    assert done.exit_code == 1
    assert "BAD  upstream default: ConnectionError" in done.stdout
    assert "Traceback" not in done.output


def test_an_upstream_that_never_ends_does_not_keep_the_check(
    call: Call, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head())
        for _ in range(15):
            conn.send(chunk(b"x"))
            conn.stall(0.1)

    monkeypatch.setattr(check, "SECONDS_MAX", 0.3)
    upstream.answer(script)
    begun = time.monotonic()
    call("check")
    assert time.monotonic() - begun < 1.0


def test_every_upstream_is_asked_with_its_own_key(
    call: Call, upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "relay.toml"
    config.write_text(
        f'[[upstreams]]\nname = "one"\nbase_url = "{upstream.base_url}"\napi_key_env = "ONE_KEY"\n'
        f'[[upstreams]]\nname = "two"\nbase_url = "{upstream.base_url}"\napi_key_env = "TWO_KEY"\nauth = "x-api-key"\n'
        '[health]\nprobe_path = "/ping"\n'
    )
    for name, value in (("RELAY_CONFIG", str(config)), ("ONE_KEY", "sk-canary-1"), ("TWO_KEY", "sk-canary-2")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OPENAI_BASE_URL")
    done = call("check", "--json")
    assert done.exit_code == 0
    assert {"upstream one", "upstream two"} <= findings(done).keys()
    one, two = upstream.requests
    assert (one.path, one.header("authorization"), one.header("x-api-key")) == ("/v1/ping", "Bearer sk-canary-1", None)
    assert (two.header("authorization"), two.header("x-api-key")) == (None, "sk-canary-2")
    assert "canary" not in done.output


def test_neither_a_proxy_nor_netrc_has_a_say(
    call: Call, upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login netrc password netrc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert call("check").exit_code == 0
    assert upstream.requests[0].header("authorization") == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("sqlite:////proc/nowhere/relay.db", "cannot make the database"),
        ("postgresql://me:canary@127.0.0.1:{port}/relay", "database: "),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    call: Call, monkeypatch: pytest.MonkeyPatch, url: str, detail: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url.format(port=free_port()))
    done = call("check", "--json")
    assert done.exit_code == 1
    ok, said = findings(done)["database"]
    assert (ok, said.startswith(detail)) == (False, True)
    assert "canary" not in done.output


def test_a_redis_that_does_not_answer_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    done = call("check", "--json")
    assert findings(done)["redis"] == (False, "does not answer, or takes no writes")
    assert done.exit_code == 1


def test_a_wrong_call_exits_2(call: Call) -> None:
    assert call("check", "--onlin").exit_code == 2
