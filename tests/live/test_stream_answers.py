"""C12 to C14: what an upstream answers instead of a stream, or says in place of a frame."""

import itertools
import json
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import (
    CHUNKED,
    CLOSE,
    DONE,
    Script,
    answering,
    chat_completion,
    data_frame,
    error_answer,
    every_request,
    in_turn,
    json_answer,
    length,
    sse_head,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import CHAT, ONE, STREAM, Owed, ask, nothing_left, saying, stream

ERROR = data_frame({"error": {"message": "no more", "type": "server_error", "param": None, "code": "overloaded"}})
COMPLETION = json.dumps(chat_completion("Hello")).encode()
PAGES = ["text/html", "Text/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml"]
NewCaller = Callable[[], RawCaller]
PAGE = b"<html><script>alert(1)</script></html>"


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def whole_answer(status: str, content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_json_that_comes_instead_of_a_stream_stays_json(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed
) -> None:
    upstream.answer(answering(json_answer(chat_completion("Hello"))))
    head = ask(caller, STREAM)
    assert (head.status, head.header("content-type")) == (200, "application/json")
    assert (caller.read_all(), caller.ended_cleanly) == (COMPLETION, True)
    line = owed.line()
    assert (line["end"], line["usage"]) == ("done", {"input_tokens": 1, "output_tokens": 1})


def test_an_error_under_status_200_stays_what_it_is(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(answering(json_answer({"error": {"message": "no", "code": "odd"}})))
    head = ask(caller, STREAM)
    assert (head.status, head.header("content-type")) == (200, "application/json")
    assert json.loads(caller.read_all()) == {"error": {"message": "no", "code": "odd"}}


def test_no_heartbeat_gets_into_json_however_slowly_it_comes(
    upstream: ScriptedUpstream, new_caller: NewCaller, owed: Owed
) -> None:
    framings = [CHUNKED, length(len(COMPLETION)), CLOSE]
    owed.requests = len(framings)
    upstream.answer(in_turn(*map(slow_json, framings)))
    callers = [new_caller() for _ in framings]
    for caller in callers:
        caller.post(CHAT, STREAM)
    for caller in callers:
        assert caller.read_answer_head().header("content-type") == "application/json"
        assert (caller.read_all(), caller.ended_cleanly) == (COMPLETION, True)


def slow_json(framing: str) -> Script:
    """Two silences, each longer than it takes to a heartbeat."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{framing}\r\n\r\n".encode())
        for part in (COMPLETION[:20], COMPLETION[20:]):
            conn.stall(1.4)
            conn.send(chunk(part) if framing == CHUNKED else part)
        conn.send(LAST_CHUNK) if framing == CHUNKED else None

    return script


def test_an_upstream_error_keeps_its_status_and_its_json(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed
) -> None:
    statuses = ["400 Bad Request", "404 Not Found", "422 X", "429 Too Many", "500 Oops", "503 Busy"]
    owed.requests = len(statuses)
    for turn, status in enumerate(statuses):
        said, number = error_answer(status, "odd", "Retry-After: 7"), int(status[:3])
        upstream.answer(answering(said))
        head = ask(caller, STREAM)
        told = [head.header(name) for name in ("content-type", "retry-after", "relay-error-source")]
        assert (head.status, told) == (number, ["application/json", "7", "upstream"])
        assert said.endswith(b"\r\n\r\n" + caller.read_all())
        assert caller.ended_cleanly
        assert [owed.line(turn)[name] for name in ("status", "upstream_status")] == [number, number]


def test_an_error_said_as_an_event_stream_keeps_its_status(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(every_request(lambda conn, _: conn.send(sse_head(status="503 Busy") + chunk(ERROR) + LAST_CHUNK)))
    head = ask(caller, STREAM)
    assert (head.status, head.header("content-type")) == (503, "text/event-stream; charset=utf-8")
    assert caller.read_all() == ERROR


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_an_error_event_in_mid_stream_passes_and_is_the_last_word(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, framing: str
) -> None:
    upstream.answer(saying([ONE, ERROR], framing))
    assert stream(caller) == (ONE + ERROR, False)
    assert caller.closed
    assert owed.line()["end"] == "upstream_eof"


def test_an_error_event_before_done_passes_with_it(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(saying([ONE, ERROR, DONE]))
    assert stream(caller) == (ONE + ERROR + DONE, True)


def test_an_anthropic_error_event_passes(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    event = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}\n\n'
    upstream.answer(saying([event]))
    assert stream(caller, "/v1/messages") == (event, False)


def test_an_upstreams_page_never_becomes_a_page_of_ours(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = 2 * len(PAGES)
    for status, content_type in itertools.product(("200 OK", "502 Bad Gateway"), PAGES):
        upstream.answer(answering(whole_answer(status, content_type, PAGE)))
        with subtests.test(content_type, status=status):
            head = ask(caller, STREAM)
            assert (head.status, head.header("content-type")) == (int(status[:3]), "text/plain; charset=utf-8")
            assert head.header("x-content-type-options") == "nosniff"
            assert caller.read_all() == PAGE


def test_an_answer_without_a_type_gets_a_harmless_one(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE)))
    head = ask(caller, STREAM)
    assert head.header("content-type") == "application/octet-stream"
    assert head.header("x-content-type-options") == "nosniff"
    assert caller.read_all() == PAGE
