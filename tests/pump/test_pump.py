"""ENDING: what happens to both connections when a body is over."""

from collections.abc import Callable

import gevent
import pytest

from tests.pump.outcomes import told
from tests.pump.partners import DONE, LAST_CHUNK, chunk, frame, until
from tests.pump.stage import Stage, Streaming

Make = Callable[..., Stage]


# The upstream's connection


def test_a_connection_whose_body_ended_exactly_serves_the_next_request(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    for _ in range(3):
        upstream.say(frame("a"))
        upstream.finish()
        assert caller.until(LAST_CHUNK).endswith(DONE + b"\r\n" + LAST_CHUNK)
        caller.forget()
        caller.ask()
        upstream.read_request()
        upstream.head()
        caller.until(b"\r\n\r\n")
    assert len(stage.upstream.accepted) == 1


@pytest.mark.parametrize(
    "rest",
    [
        chunk(DONE) + LAST_CHUNK + b"HTTP/1.1 200 OK\r\n",
        chunk(DONE) + chunk(frame("late")) + LAST_CHUNK,
        chunk(DONE + frame("late")) + LAST_CHUNK,
    ],
    ids=["behind the body", "behind the terminal frame", "in one chunk with it"],
)
def test_a_connection_with_surplus_bytes_is_closed(streaming: Streaming, rest: bytes) -> None:
    stage, caller, upstream = streaming()
    upstream.send(rest)
    caller.until(LAST_CHUNK)
    assert (caller.body, caller.is_whole, stage.end) == (DONE, True, "done")
    assert upstream.sees_the_other_leave(1)


@pytest.mark.parametrize("framing", ["Connection: close\r\nTransfer-Encoding: chunked", "X-Framed: by the end"])
def test_a_connection_that_is_not_kept_alive_is_closed(stage: Make, framing: str) -> None:
    made = stage()
    caller = made.caller()
    upstream = made.begin(caller, framing)
    body = frame("a") + DONE
    upstream.send(body if "end" in framing else chunk(body) + LAST_CHUNK)
    caller.until(LAST_CHUNK)
    assert (caller.body, caller.is_whole, made.end) == (body, True, "done")
    assert upstream.sees_the_other_leave(0.5)


def test_a_connection_whose_stream_was_cut_is_closed(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    stage.pump.drain()
    assert upstream.sees_the_other_leave(1)
    caller.to_the_end()
    assert (told(caller.body), stage.end) == ("relay_draining", "drained")


def test_an_event_stream_of_no_bytes_is_no_whole_answer(stage: Make) -> None:
    made = stage()
    caller = made.caller()
    made.begin(caller, "Content-Length: 0")
    caller.to_the_end()
    assert b"upstream_incomplete" in caller.after_head
    assert made.end == "upstream_eof"


# The caller's connection


def test_the_next_request_on_the_callers_connection_is_served(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.finish()
    caller.until(LAST_CHUNK)
    gevent.sleep(0.05)  # the server waits for it, blocking, as it did before the stream
    caller.forget()
    caller.ask()
    upstream.read_request()
    upstream.head()
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert (stage.closed, stage.end) == (2, "done")


def test_a_caller_that_asked_to_close_sees_the_end_behind_the_last_chunk(stage: Make) -> None:
    made = stage()
    caller = made.caller()
    caller.ask(headers="Connection: close\r\n")
    upstream = made.upstream.next()
    upstream.head()
    upstream.finish()
    assert caller.to_the_end().endswith(chunk(DONE) + LAST_CHUNK)


def test_a_draining_server_closes_behind_a_whole_answer(stage: Make) -> None:
    """gunicorn does not look again once a response was handled."""
    made = stage()
    made._worker.alive = False
    caller = made.caller()
    upstream = made.begin(caller)
    upstream.finish()
    assert caller.to_the_end().endswith(chunk(DONE) + LAST_CHUNK)
    assert b"\r\nConnection: close\r\n" in caller.head


def test_http_1_0_gets_an_unframed_body_that_the_close_ends(stage: Make) -> None:
    made = stage(heartbeat_seconds=0.05)
    caller = made.caller()
    upstream = made.begin(caller, version="1.0")
    upstream.say(frame("a"))
    caller.until(b": ping\n\n")
    upstream.finish()
    caller.to_the_end()
    assert b"chunked" not in caller.head
    assert caller.after_head.replace(b": ping\n\n", b"") == frame("a") + DONE


def test_a_body_with_a_length_keeps_it_and_the_slot_is_free_before_its_last_byte(stage: Make) -> None:
    made = stage()
    slot_is_free = gevent.event.Event()
    made.on_close = slot_is_free.wait
    caller = made.caller()
    upstream = made.begin(caller, "Content-Length: 9", kind="application/json")
    upstream.send(b'{"a"')
    caller.until(b'{"a"')
    upstream.send(b": 10}")
    until(lambda: made.closed)
    assert caller.gets_nothing(0.05)
    slot_is_free.set()
    assert caller.until(b"}").endswith(b'\r\n\r\n{"a": 10}')
    assert caller.gets_nothing(0.02), "the connection lives on"
    assert b"Content-Length: 9" in caller.head


def test_a_body_without_end_that_is_no_stream_is_hung_up_without_a_word(stage: Make) -> None:
    made = stage()
    caller = made.caller()
    upstream = made.begin(caller, kind="application/json")
    upstream.say(b'{"a"')
    upstream.close()
    caller.to_the_end()
    assert (caller.body, caller.is_whole, made.end) == (b'{"a"', False, "truncated")


def test_a_request_that_waits_behind_a_stream_that_was_hung_up_is_not_begun(streaming: Streaming) -> None:
    """Nobody could get its answer, which the upstream would still be paid for."""
    stage, caller, upstream = streaming()
    caller.ask()
    gevent.sleep(0.02)
    stage.pump.drain()
    caller.to_the_end()
    until(lambda: stage.served[0].dead)
    assert stage.closed == 1
