"""The bench against itself: what the raw caller shows of an answer is what the upstream sent."""

import threading
import time

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import (
    CHUNKED,
    CLOSE,
    DONE,
    answering,
    chat_frame,
    chat_stream,
    every_request,
    json_answer,
    length,
    sse_head,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk

PATH = "/v1/chat/completions"
STREAM = {"model": "gpt-test", "stream": True, "messages": []}
BODY = chat_frame("one")


def test_a_stream_arrives_frame_by_frame_and_ends_cleanly(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    direct.post(PATH, STREAM)
    status, headers = direct.read_head()
    assert status == 200
    assert ("Content-Type", "text/event-stream") in headers
    assert list(direct.frames()) == chat_stream("Hello", " world")
    assert direct.ended_cleanly


def test_each_frame_is_seen_before_the_next_is_sent(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    acknowledged = threading.Semaphore(0)

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head())
        for number in range(100):
            conn.send(chunk(chat_frame(str(number))))
            assert acknowledged.acquire(timeout=5)
        conn.send(LAST_CHUNK)

    upstream.answer(script)
    direct.post(PATH, STREAM)
    direct.read_head()
    for number, frame in enumerate(direct.frames()):
        assert frame == chat_frame(str(number))
        acknowledged.release()
    assert direct.ended_cleanly


def test_pipelined_requests_are_answered_in_order(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    upstream.answer(every_request(lambda conn, request: conn.send(json_answer(request.path))))
    direct.send(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    assert [(direct.read_head()[0], direct.read_all()) for _ in range(2)] == [(200, b'"/a"'), (200, b'"/b"')]
    assert upstream.accepted == 1


def test_an_interim_answer_is_read_apart_from_the_final_one(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    upstream.answer(answering(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + json_answer({})))
    direct.get("/v1/models")
    assert [direct.read_head()[0], direct.read_head()[0], direct.read_all()] == [103, 200, b"{}"]


def test_an_answer_to_head_has_no_body(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    upstream.answer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
    direct.request("HEAD", "/v1/models")
    assert direct.read_head()[0] == 200
    assert direct.read_all(0.5) == b""
    assert direct.ended_cleanly


@pytest.mark.parametrize(
    ("sent", "clean"),
    [
        (sse_head(CHUNKED) + chunk(BODY) + LAST_CHUNK, True),
        (sse_head(CHUNKED) + chunk(BODY) + b"0\r\nTrailer: 1\r\n\r\n", True),
        (sse_head(CHUNKED) + chunk(BODY), False),
        (sse_head(CHUNKED) + chunk(BODY) + b"0\r\n", False),
        (sse_head(length(len(BODY))) + BODY, True),
        (sse_head(length(len(BODY) + 1)) + BODY, False),
        (sse_head(CLOSE) + BODY, True),
    ],
)
def test_the_caller_tells_a_whole_body_from_a_cut_one(
    upstream: ScriptedUpstream, direct: RawCaller, sent: bytes, clean: bool
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sent)

    upstream.answer(script)
    direct.post(PATH, STREAM)
    direct.read_head()
    assert direct.read_all() == BODY
    assert direct.ended_cleanly is clean


def test_bytes_that_come_one_by_one_make_the_same_answer(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.drip(sse_head() + chunk(BODY) + chunk(DONE) + LAST_CHUNK, 0.0005)

    upstream.answer(script)
    direct.post(PATH, STREAM)
    direct.read_head()
    assert list(direct.frames()) == [BODY, DONE]
    assert direct.ended_cleanly


def test_a_reset_is_not_a_clean_end_and_what_came_before_it_is_delivered(
    upstream: ScriptedUpstream, direct: RawCaller
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head(CLOSE) + BODY)
        time.sleep(0.1)
        conn.reset()

    upstream.answer(script)
    direct.post(PATH, STREAM)
    direct.read_head()
    assert direct.read_all() == BODY
    assert (direct.ended_cleanly, direct.was_reset) == (False, True)


def test_reading_gives_up_in_time_and_says_what_had_come(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head() + chunk(BODY))
        conn.stall(5)

    upstream.answer(script)
    direct.post(PATH, STREAM)
    direct.read_head()
    with pytest.raises(TimeoutError, match="one"):
        direct.read_until(DONE, 0.2)
    assert not direct.wait_closed(0.1)


def test_a_body_that_ends_without_the_marker_fails_at_once(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    direct.post(PATH, STREAM)
    direct.read_head()
    assert direct.read_until(b"Hello").endswith(b"Hello")
    with pytest.raises(AssertionError, match="the body ended without"):
        direct.read_until(b"never")
