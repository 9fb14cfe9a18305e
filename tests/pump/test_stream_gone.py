"""FLOW to nobody: a caller that leaves is noticed within a second, also in silence, and its upstream is told so."""

import time
from collections.abc import Callable

import gevent
import pytest

from relay.core.flow import Ending
from relay.pump import sweep as sweep_module
from relay.pump.sweep import Sweep
from tests.pump.partners import WAYS_TO_LEAVE, Answering, Caller, frame, turns_during, until
from tests.pump.stage import Stage, Streaming

REAL_SWEEP_SECONDS = sweep_module.SWEEP_SECONDS


def assert_gone(stage: Stage, upstream: Answering, seconds_max: float = 1) -> None:
    assert upstream.sees_the_other_leave(seconds_max)
    until(lambda: stage.served[0].dead, 0.5)
    assert [meter.endings for meter in stage.meters] == [[Ending("client_gone")]]


@WAYS_TO_LEAVE
def test_a_caller_that_leaves_a_silent_stream_is_noticed(streaming: Streaming, leave: Callable[[Caller], None]) -> None:
    stage, caller, upstream = streaming()
    leave(caller)
    assert_gone(stage, upstream, seconds_max=0.3)


@WAYS_TO_LEAVE
def test_a_caller_that_leaves_behind_a_waiting_request_is_noticed_within_a_second(
    streaming: Streaming, leave: Callable[[Caller], None], monkeypatch: pytest.MonkeyPatch, sweep: Sweep
) -> None:
    """The socket stays readable then, so that no event tells."""
    monkeypatch.setattr(sweep, "_timer", gevent.get_hub().loop.timer(REAL_SWEEP_SECONDS, REAL_SWEEP_SECONDS))
    stage, caller, upstream = streaming()
    caller.ask()
    gevent.sleep(0.05)
    begun_at = time.monotonic()
    leave(caller)
    assert_gone(stage, upstream)
    assert time.monotonic() - begun_at < 1


def test_a_caller_that_leaves_a_talking_stream_is_noticed(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()

    def talk() -> None:
        with pytest.raises(OSError):
            while True:
                upstream.say(frame("a"))
                gevent.sleep(0.001)

    talking = gevent.spawn(talk)
    caller.until(frame("a"))
    caller.close()
    talking.join(1)
    assert (talking.successful(), stage.end) == (True, "client_gone")


def test_a_request_that_waits_behind_a_stream_does_not_keep_the_loop_turning(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    caller.ask()
    gevent.sleep(0.05)
    assert turns_during(0.2) < 60
    assert not stage.meter.endings


def test_a_request_that_waits_behind_a_stream_is_answered_after_it(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    caller.ask()
    upstream.finish()
    caller.until(b"0\r\n\r\n")
    upstream.read_request()
    caller.forget()
    upstream.head()
    upstream.finish()
    assert caller.until(b"0\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert stage.closed == 2
