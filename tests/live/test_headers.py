"""B8: which headers go on to an upstream, and which of its own reach the caller. Each list is closed."""

from collections.abc import Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import UPSTREAM_KEY, RelayProcess
from tests.live.bench.scripts import answering, json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import ASK, CHAT, STREAM, Owed, ask, nothing_left

HOP_BY_HOP = {
    "Keep-Alive": "timeout=5",
    "TE": "trailers",
    "Trailer": "X-Later",
    "Upgrade": "websocket",
    "Proxy-Connection": "keep-alive",
    "Proxy-Authorization": "Basic eDp5",
    "Proxy-Authenticate": "Basic",
}
# Of an upstream's answer; the last two because `Connection` names them.
HIDDEN = ["Set-Cookie", "Access-Control-Allow-Origin", "X-Accel-Redirect", "X-Accel-Limit-Rate", "Location", "Server"]
HIDDEN += ["Via", "X-Powered-By", "Content-Security-Policy", "Link", "Alt-Svc", "openai-version", "X-Nominated"]
OURS = {"host", "accept-encoding", "content-length", "user-agent", "authorization", "x-request-id"}


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def test_no_hop_by_hop_header_goes_upstream_and_no_credential_but_ours(
    upstream: ScriptedUpstream, caller: RawCaller, key: str
) -> None:
    nominated = [("Connection", "keep-alive, OpenAI-Beta, authorization, traceparent")]
    nominated += [("OpenAI-Beta", "a"), ("traceparent", "b")]
    private = [("Cookie", "a=b"), ("Origin", "http://localhost:8000"), ("X-Forwarded-For", "1.2.3.4"), ("Via", "x")]
    caller.post(CHAT, STREAM, [*nominated, *private, *HOP_BY_HOP.items(), ("OpenAI-Organization", "org")])
    assert caller.read_head()[0] == 200
    caller.read_all()
    sent = upstream.wait_for_requests(1)[0]
    assert {name.lower() for name, _ in sent.headers} == {*OURS, "content-type", "openai-organization"}
    assert len(sent.headers) == len(OURS) + 2
    assert sent.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert sent.header("host") == f"127.0.0.1:{upstream.port}"


def test_the_headers_that_an_upstream_may_read_go_on(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    passed = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
        "accept": "text/event-stream",
        "openai-beta": "assistants=v2",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "x",
    }
    caller.post(CHAT, STREAM, passed.items())
    assert caller.read_head()[0] == 200
    caller.read_all()
    sent = upstream.wait_for_requests(1)[0]
    assert {name: sent.header(name) for name in passed} == passed


def test_only_named_headers_of_an_upstream_reach_the_caller(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    hidden = [*HOP_BY_HOP, *HIDDEN]
    lines = [f"{name}: {HOP_BY_HOP.get(name, 'x')}" for name in hidden]
    shown = ["openai-processing-ms: 7", "Connection: openai-version, X-Nominated, keep-alive"]
    upstream.answer(answering(json_answer({}, *lines, *shown)))
    head = ask(caller, ASK)
    assert (head.status, caller.read_all()) == (200, b"{}")
    ours = {"server": "gunicorn"}
    assert [name for name in hidden if head.header(name) not in (None, ours.get(name.lower()))] == []
    assert head.header("openai-processing-ms") == "7"
