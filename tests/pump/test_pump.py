"""ENDING: what happens to both connections when a body is over, and what was taken down of it."""

import time
from collections.abc import Callable

import gevent
import pytest

from relay.pump.takeover import ALREADY_HANDLED
from tests.pump.outcomes import told
from tests.pump.partners import DONE, LAST_CHUNK, chunk, frame, until
from tests.pump.stage import KEY, Stage, Streaming, bounds

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


# conclude


def test_the_end_of_a_whole_answer_waits_as_long_as_a_slow_reader_may_take(narrow: Streaming) -> None:
    stage, caller, upstream = narrow(slow_reader_seconds_max=0.3)
    upstream.say(*[frame("x" * 1000)] * 60, DONE)
    until(lambda: stage.closed)
    closed_at = time.monotonic()
    until(lambda: stage.served[0].dead)
    assert 0.25 < time.monotonic() - closed_at < 0.8
    caller.to_the_end()
    assert not caller.is_whole


def test_an_ending_to_a_caller_that_reset_meanwhile_is_no_failure(narrow: Streaming) -> None:
    stage, caller, upstream = narrow()
    upstream.say(*[frame("x" * 1000)] * 60, DONE)
    until(lambda: stage.closed)
    caller.reset()
    until(lambda: stage.served[0].dead, 1)


def test_the_server_is_told_that_all_is_done(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage()
    answers: list[object] = []
    deliver = made.pump.deliver
    monkeypatch.setattr(made.pump, "deliver", lambda *given: answers.append(deliver(*given)) or answers[-1])
    caller = made.caller()
    made.begin(caller).finish()
    caller.until(LAST_CHUNK)
    until(lambda: answers)
    assert answers == [ALREADY_HANDLED]


# What was taken down


def test_the_meter_is_told_what_went_out_and_when(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    gevent.sleep(0.05)
    said_at = time.monotonic()
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    gevent.sleep(0.05)
    upstream.say(frame("b"))
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert said_at <= stage.meter.first_at < said_at + 0.04
    assert stage.meter.failures == []
    assert stage.meter.bytes_out == len(frame("a") + frame("b") + DONE), "body bytes, without their framing"


def test_streams_and_waits_are_listed_with_their_keys(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    assert list(stage.pump.live.values()) == [KEY]
    waiting = stage.caller()
    waiting.ask()
    stage.upstream.next()
    assert stage.pump.keys_in_use() == {KEY}
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert (stage.pump.live, stage.pump.keys_in_use()) == ({}, {KEY})
    waiting.close()
    until(lambda: not stage.pump.keys_in_use())


def test_new_bounds_hold_for_the_streams_that_begin_from_then_on(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    stage.pump.bound(bounds(idle_seconds_max=0.1), 0)
    later = stage.caller()
    stage.begin(later)
    later.to_the_end()
    assert told(later.body) == "upstream_idle_timeout"
    assert len(stage.pump.live) == 1
    upstream.finish()
    caller.until(LAST_CHUNK)
