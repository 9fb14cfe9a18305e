"""CONTRACT 2 and B8: what is relayed where, as it came, with which headers, and which of the upstream's come back."""

import json
from collections.abc import Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import UPSTREAM_KEY, RelayProcess
from tests.live.bench.scripts import answering, chat_stream, json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import ASK, CHAT, STREAM, Owed, ask, get, nothing_left, refusal

# route: where its requests go below the upstream's base URL
POSTED = {
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1/completions": "/v1/completions",
    "/v1/responses": "/v1/responses",
    "/v1/messages": "/v1/messages",
    "/v1/embeddings": "/v1/embeddings",
    "/v1/moderations": "/v1/moderations",
    "/v1/audio/speech": "/v1/audio/speech",
    "/v1/images/generations": "/v1/images/generations",
}
# Odd spacing, an unknown member, an escape: none of it may change on its way.
VERBATIM = b'{ "model":"gpt-test",\t"messages":[], "x": {"y":[1.50, "\\u00e9\\/"]},\n "stream": false }'
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


def test_a_body_goes_to_its_upstream_path_as_it_came(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = len(POSTED)
    for path, upstream_path in POSTED.items():
        with subtests.test(path):
            caller.request("POST", path, VERBATIM, [("Content-Type", "application/json; charset=utf-8")])
            assert caller.read_head()[0] == 200
            caller.read_all()
            sent = upstream.requests[-1]
            assert (sent.method, sent.path, sent.body) == ("POST", upstream_path, VERBATIM)
            assert sent.header("content-type") == "application/json; charset=utf-8"
            assert sent.header("accept-encoding") == "identity"


def test_the_models_of_the_upstream_are_listed(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    assert get(caller, "/v1/models").status == 200
    assert json.loads(caller.read_all())["data"] == [{"id": "gpt-test", "object": "model"}]
    sent = upstream.wait_for_requests(1)[0]
    assert (sent.method, sent.path, sent.body) == ("GET", "/v1/models", b"")


def test_a_key_bound_to_models_sees_and_uses_only_those(
    upstream: ScriptedUpstream, relay: RelayProcess, owed: Owed
) -> None:
    owed.requests = 3
    upstream.answer(answering(json_answer({"object": "list", "data": [{"id": "a"}, {"id": "b"}, {"id": "c"}]})))
    with RawCaller(relay.port, key=relay.create_key("bound", model=["b"])) as caller:
        assert get(caller, "/v1/models").status == 200
        assert json.loads(caller.read_all()) == {"object": "list", "data": [{"id": "b"}]}
        assert refusal(caller, ask(caller, {**ASK, "model": "a"})) == (403, "model_not_allowed")
        assert ask(caller, {**ASK, "model": "b"}).status == 200
    assert len(upstream.requests) == 2


def test_a_key_in_the_query_of_any_relayed_route_is_refused(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, key: str
) -> None:
    owed.requests = len(POSTED) + 1
    for path in POSTED:
        assert refusal(caller, ask(caller, ASK, f"{path}?api_key={key}")) == (400, "key_in_query"), path
    assert refusal(caller, get(caller, f"/v1/models?key={key}")) == (400, "key_in_query")
    assert upstream.received == b""


def test_any_other_query_is_ignored(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    assert ask(caller, STREAM, f"{CHAT}?beta=true").status == 200
    assert caller.read_all() == b"".join(chat_stream("Hello", " world"))
    assert upstream.wait_for_requests(1)[0].path == CHAT


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
