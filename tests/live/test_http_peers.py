"""Callers of another age or in a hurry: HTTP/1.0, `Connection: close`, and several requests on the way at once."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import chat_stream, every_request, json_answer, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import (
    ASK,
    CHAT,
    FRAMINGS,
    ONE,
    STREAM,
    Owed,
    ask,
    error_code,
    fill_the_pool,
    nothing_left,
    saying,
    stream,
)

WHOLE = b"".join(chat_stream("Hello"))


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def request(key: str, version: str = "1.1", *lines: str, streams: bool = True, model: str = "gpt-test") -> bytes:
    body = b'{"model":"%b","stream":%b,"messages":[]}' % (model.encode(), b"true" if streams else b"false")
    head = [f"POST {CHAT} HTTP/{version}", "Host: x", f"Authorization: Bearer {key}", *lines]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_http_1_0_caller_gets_a_body_that_ends_with_its_connection(
    upstream: ScriptedUpstream, caller: RawCaller, key: str, framing: str
) -> None:
    upstream.answer(saying(chat_stream("Hello"), framing))
    caller.send(request(key, "1.0"))
    head = caller.read_answer_head()
    assert (head.status, head.header("transfer-encoding"), head.header("content-length")) == (200, None, None)
    assert (caller.read_all(), caller.closed, caller.was_reset) == (WHOLE, True, False)


def test_an_http_1_0_caller_is_told_of_a_cut_by_its_frame(
    upstream: ScriptedUpstream, caller: RawCaller, key: str
) -> None:
    upstream.answer(saying([ONE]))
    caller.send(request(key, "1.0"))
    assert caller.read_head()[0] == 200
    body = caller.read_all()
    assert (error_code(body.removeprefix(ONE)), caller.closed) == ("upstream_incomplete", True)


def test_an_http_1_0_caller_gets_json_as_it_is(upstream: ScriptedUpstream, caller: RawCaller, key: str) -> None:
    upstream.answer(every_request(lambda conn, _: conn.send(json_answer({"a": 1}))))
    caller.send(request(key, "1.0", streams=False))
    assert caller.read_head()[0] == 200
    assert (caller.read_all(), caller.wait_closed(1)) == (b'{"a": 1}', True)


def test_a_caller_that_wants_no_more_is_hung_up_on(upstream: ScriptedUpstream, caller: RawCaller, key: str) -> None:
    caller.send(request(key, "1.1", "Connection: close"))
    assert caller.read_head()[0] == 200
    caller.read_all()
    assert (caller.ended_cleanly, caller.wait_closed(1), caller.was_reset) == (True, True, False)


@pytest.mark.parametrize("streams", [True, False])
def test_pipelined_requests_are_answered_in_order(
    upstream: ScriptedUpstream, caller: RawCaller, key: str, owed: Owed, streams: bool
) -> None:
    owed.requests = 10
    upstream.answer(every_request(named))
    caller.send(b"".join(request(key, streams=streams, model=f"m{number}") for number in range(10)))
    for number in range(10):
        assert caller.read_head()[0] == 200
        assert f"m{number}".encode() in caller.read_all()
        assert caller.ended_cleanly


def test_a_request_sent_during_a_stream_waits_for_its_end(
    upstream: ScriptedUpstream, caller: RawCaller, key: str, owed: Owed
) -> None:
    owed.requests = 2
    upstream.answer(saying(chat_stream("one", "two"), pause_seconds=0.1))
    caller.send(request(key))
    assert caller.read_head()[0] == 200
    caller.read_until(b"one")
    caller.send(request(key, streams=False))
    caller.read_all()
    assert (caller.ended_cleanly, len(upstream.requests)) == (True, 1)
    assert caller.read_head()[0] == 200
    caller.read_all()


def test_a_request_behind_a_stream_that_was_cut_is_not_begun(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], key: str, owed: Owed
) -> None:
    owed.requests = 3
    fill_the_pool(upstream, new_caller)
    upstream.answer(saying([ONE], "close"))
    caller = new_caller()
    caller.send(request(key) + request(key, model="second"))
    assert caller.read_head()[0] == 200
    assert error_code(caller.read_all().removeprefix(ONE)) == "upstream_incomplete"
    assert caller.wait_closed(1)
    time.sleep(0.2)
    assert [json.loads(sent.body)["model"] for sent in upstream.requests[2:]] == ["gpt-test"]


def test_a_kept_connection_serves_streams_json_and_refusals_in_turn(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed
) -> None:
    owed.requests = 8
    for _ in range(2):
        assert stream(caller) == (b"".join(chat_stream("Hello", " world")), True)
        assert (ask(caller, ASK).status, caller.read_all()[:1]) == (200, b"{")
        caller.request("POST", CHAT, b"{", [("Content-Type", "application/json")])
        assert (caller.read_head()[0], caller.read_all()[:1]) == (400, b"{")
        assert (ask(caller, STREAM, "/v1/nowhere").status, caller.read_all()[:1]) == (404, b"{")


def named(conn: Connection, request: Request) -> None:
    """Answer with the model that was asked for."""
    asked = json.loads(request.body)
    if not asked["stream"]:
        return conn.send(json_answer({"model": asked["model"]}))
    frames = b"data: " + asked["model"].encode() + b"\n\ndata: [DONE]\n\n"
    return conn.send(sse_head() + chunk(frames) + LAST_CHUNK)
