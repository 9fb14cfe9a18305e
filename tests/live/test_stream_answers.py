"""C12 to C14: what an upstream answers instead of a stream, or says in place of a frame."""

import json
from collections.abc import Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import (
    CHUNKED,
    DONE,
    answering,
    chat_completion,
    data_frame,
    error_answer,
    every_request,
    json_answer,
    sse_head,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import ONE, STREAM, Owed, ask, nothing_left, saying, stream

ERROR = data_frame({"error": {"message": "no more", "type": "server_error", "param": None, "code": "overloaded"}})
COMPLETION = json.dumps(chat_completion("Hello")).encode()
PAGE = b"<html><script>alert(1)</script></html>"


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def whole_answer(status: str, content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_json_that_comes_instead_of_a_stream_stays_json(
    upstream: ScriptedUpstream, caller: RawCaller, relay: RelayProcess
) -> None:
    upstream.answer(answering(json_answer(chat_completion("Hello"))))
    head = ask(caller, STREAM)
    assert (head.status, head.header("content-type")) == (200, "application/json")
    assert (caller.read_all(), caller.ended_cleanly) == (COMPLETION, True)
    relay.wait_for_log_line(end="done", usage={"input_tokens": 1, "output_tokens": 1})


def test_an_error_under_status_200_stays_what_it_is(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(answering(json_answer({"error": {"message": "no", "code": "odd"}})))
    head = ask(caller, STREAM)
    assert (head.status, head.header("content-type")) == (200, "application/json")
    assert json.loads(caller.read_all()) == {"error": {"message": "no", "code": "odd"}}


@pytest.mark.parametrize("framing", [CHUNKED, f"Content-Length: {len(COMPLETION)}", "Connection: close"])
def test_no_heartbeat_gets_into_json_however_slowly_it_comes(
    upstream: ScriptedUpstream, caller: RawCaller, framing: str
) -> None:
    def answer(conn: Connection, _: object) -> None:
        conn.send(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{framing}\r\n\r\n".encode())
        for part in (COMPLETION[:20], COMPLETION[20:]):
            conn.stall(1.4)
            conn.send(chunk(part) if framing == CHUNKED else part)
        conn.send(LAST_CHUNK) if framing == CHUNKED else None
        conn.close() if "close" in framing else None

    upstream.answer(every_request(answer))
    assert ask(caller, STREAM).header("content-type") == "application/json"
    assert (caller.read_all(), caller.ended_cleanly) == (COMPLETION, True)


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "404 Not Found", "422 X", "429 Too Many", "500 Oops", "503 Busy"]
)
def test_an_upstream_error_keeps_its_status_and_its_json(
    upstream: ScriptedUpstream, caller: RawCaller, relay: RelayProcess, status: str
) -> None:
    said = error_answer(status, "odd", "Retry-After: 7")
    upstream.answer(answering(said))
    head = ask(caller, STREAM)
    assert head.status == int(status[:3])
    assert (head.header("content-type"), head.header("retry-after")) == ("application/json", "7")
    assert head.header("relay-error-source") == "upstream"
    assert said.endswith(b"\r\n\r\n" + caller.read_all())
    assert caller.ended_cleanly
    relay.wait_for_log_line(status=int(status[:3]), upstream_status=int(status[:3]))


def test_an_error_said_as_an_event_stream_keeps_its_status(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(every_request(lambda conn, _: conn.send(sse_head(status="503 Busy") + chunk(ERROR) + LAST_CHUNK)))
    head = ask(caller, STREAM)
    assert (head.status, head.header("content-type")) == (503, "text/event-stream; charset=utf-8")
    assert caller.read_all() == ERROR


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_an_error_event_in_mid_stream_passes_and_is_the_last_word(
    upstream: ScriptedUpstream, caller: RawCaller, relay: RelayProcess, framing: str
) -> None:
    upstream.answer(saying([ONE, ERROR], framing))
    assert stream(caller) == (ONE + ERROR, False)
    assert caller.closed
    relay.wait_for_log_line(end="upstream_eof")


def test_an_error_event_before_done_passes_with_it(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(saying([ONE, ERROR, DONE]))
    assert stream(caller) == (ONE + ERROR + DONE, True)


def test_an_anthropic_error_event_passes(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    event = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}\n\n'
    upstream.answer(saying([event]))
    assert stream(caller, "/v1/messages") == (event, False)


@pytest.mark.parametrize(
    "content_type", ["text/html", "Text/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml"]
)
@pytest.mark.parametrize("status", ["200 OK", "502 Bad Gateway"])
def test_an_upstreams_page_never_becomes_a_page_of_ours(
    upstream: ScriptedUpstream, caller: RawCaller, content_type: str, status: str
) -> None:
    upstream.answer(answering(whole_answer(status, content_type, PAGE)))
    head = ask(caller, STREAM)
    assert head.status == int(status[:3])
    assert head.header("content-type") == "text/plain; charset=utf-8"
    assert head.header("x-content-type-options") == "nosniff"
    assert caller.read_all() == PAGE


def test_an_answer_without_a_type_gets_a_harmless_one(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE)))
    head = ask(caller, STREAM)
    assert head.header("content-type") == "application/octet-stream"
    assert head.header("x-content-type-options") == "nosniff"
    assert caller.read_all() == PAGE
