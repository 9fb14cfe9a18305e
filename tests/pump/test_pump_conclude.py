"""The last bytes of a response, to a caller that may not take them, and what was taken down of it."""

import time
from collections.abc import Callable

import gevent
import pytest
from gevent import socket

from relay.core.flow import Ending
from relay.pump.takeover import ALREADY_HANDLED, HungUp, Wire
from tests.pump.outcomes import told
from tests.pump.partners import DONE, LAST_CHUNK, Caller, Response, fill, frame, until
from tests.pump.stage import KEY, Stage, Streaming, bounds

Make = Callable[..., Stage]


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


def test_a_refusal_in_an_open_response_waits_for_a_slow_reader(
    ends: tuple[Caller, socket.socket], stage: Callable[..., Stage]
) -> None:
    """The heartbeats before it left the socket without blocking."""
    caller, sock = ends
    fill(sock)
    reading = gevent.spawn(caller.to_the_end)
    with pytest.raises(HungUp):
        wire = Wire(Response(sock, chunked=False))
        stage().pump.conclude(wire, b"owed, ", Ending("upstream_eof", b"refusal"))
    assert reading.get().endswith(b"xowed, refusal")


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
    assert [exchange.names for exchange in stage.pump.live.values()] == [(KEY,)]
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
