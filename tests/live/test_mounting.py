"""B10 and CONTRACT 2: under which hosts and below which path the relay answers; requests and their names."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import chat_stream
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import Head
from tests.live.cases import ASK, CHAT, MESSAGES, Owed, ask, get, nothing_left, refusal, stream
from tests.live.pairs import LIMITS

MOUNTED = {
    **LIMITS,
    "RELAY_SERVER__PATH_PREFIX": "/sse",
    "RELAY_SERVER__TRUSTED_HOSTS": '["relay.example", "127.0.0.1"]',
}
OTHER_HOSTS = [
    ["Host: evil.example"],
    ["Host: relay.example.evil.example"],
    ["Host: evil.example", "X-Forwarded-Host: relay.example"],
    ["Host: relay.example@evil.example"],
    ["Host: evil.example/relay.example"],
    ["Host: evil.example#relay.example"],
    ["Host: relay.example", "Host: evil.example"],
    ["Host: evil.example", "Host: relay.example"],
    ["Host:"],
    [],
]
WHOLE = b"".join(chat_stream("Hello", " world"))


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), MOUNTED)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.mark.parametrize("prefix", ["", "/sse"])
def test_every_route_answers_also_below_the_prefix(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, prefix: str
) -> None:
    owed.requests = 4
    assert stream(caller, prefix + CHAT) == (WHOLE, True)
    assert ask(caller, {"model": "m", "messages": MESSAGES}, prefix + "/api/chat/stream").status == 200
    caller.read_all()
    assert json.loads(got(caller, prefix + "/v1/models"))["object"] == "list"
    assert json.loads(got(caller, prefix + "/health/live"))["status"] == "alive"
    assert [sent.path for sent in upstream.requests] == [CHAT, CHAT, "/v1/models"]


def test_nothing_else_is_mounted(caller: RawCaller, owed: Owed) -> None:
    paths = ["/sse/sse/v1/models", "/ssev1/models", "/sse", "/SSE/v1/models", "/other/v1/models"]
    owed.requests = len(paths)
    for path in paths:
        assert refusal(caller, get(caller, path)) == (404, "route_not_found"), path


def test_the_seed_route_below_the_prefix_refuses_in_its_flat_shape(caller: RawCaller) -> None:
    assert ask(caller, {}, "/sse/api/chat/stream", key="").status == 401
    assert json.loads(caller.read_all())["error"] == "MISSING_AUTH"


def test_a_trusted_host_is_answered_whatever_its_port_and_case(
    upstream: ScriptedUpstream, caller: RawCaller, key: str, owed: Owed, subtests: pytest.Subtests
) -> None:
    hosts = ["relay.example", "relay.example:8443", "127.0.0.1", "RELAY.example"]
    owed.requests = len(hosts)
    for host in hosts:
        with subtests.test(host):
            assert under(caller, key, f"Host: {host}").status == 200
            caller.read_all()
    assert {sent.header("host") for sent in upstream.requests} == {f"127.0.0.1:{upstream.port}"}


def test_any_other_host_is_refused_before_anything_goes_upstream(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], key: str, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = None  # what gunicorn refuses is no request
    for lines in OTHER_HOSTS:
        with subtests.test(" + ".join(lines) or "none"), new_caller() as caller:
            assert under(caller, key, *lines).status in (400, 421)
    assert upstream.received == b""


def test_the_refusal_of_a_host_says_so(caller: RawCaller, key: str) -> None:
    assert refusal(caller, under(caller, key, "Host: evil.example")) == (421, "misdirected_request")


def test_every_answer_and_its_log_line_have_one_name(caller: RawCaller, relay: RelayProcess, owed: Owed) -> None:
    paths = [CHAT, "/v1/models", "/health/live", "/nowhere"]
    owed.requests = len(paths)
    for path in paths:
        name = get(caller, path).header("x-request-id") or ""
        assert re.fullmatch(r"req_[0-9a-f]{22}", name), path
        caller.read_all()
        relay.wait_for_log_line(request_id=name)


def test_the_callers_name_for_a_request_is_kept_and_goes_on(
    upstream: ScriptedUpstream, caller: RawCaller, relay: RelayProcess
) -> None:
    caller.post(CHAT, ASK, [("X-Request-Id", "trace-0123.A_b")])
    assert caller.read_answer_head().all_of("x-request-id") == ["trace-0123.A_b"]
    caller.read_all()
    assert upstream.requests[0].header("x-request-id") == "trace-0123.A_b"
    relay.wait_for_log_line(request_id="trace-0123.A_b")


def test_a_name_that_could_hurt_is_replaced(upstream: ScriptedUpstream, caller: RawCaller, owed: Owed) -> None:
    names = ["short", "x" * 129, "two words here", 'quo"te-12345', "<b>12345678", "umlaut-\xe4\xe4\xe4\xe4"]
    owed.requests = len(names)
    for name in names:
        caller.post(CHAT, ASK, [("X-Request-Id", name)])
        given = caller.read_answer_head().header("x-request-id") or ""
        caller.read_all()
        assert given.startswith("req_"), name
        assert upstream.requests[-1].header("x-request-id") == given


def under(caller: RawCaller, key: str, *lines: str) -> Head:
    """GET /v1/models under these Host lines."""
    head = ["GET /v1/models HTTP/1.1", *lines, f"Authorization: Bearer {key}", "", ""]
    caller.send("\r\n".join(head).encode())
    return caller.read_answer_head()


def got(caller: RawCaller, path: str) -> bytes:
    caller.get(path)
    assert caller.read_head()[0] == 200
    return caller.read_all()
