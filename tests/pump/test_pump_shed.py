"""Where memory runs out: those streams end for which most waits, at once and without a word, and no others."""

import time
from typing import Any

import pytest

from relay.pump.pump import Pump
from relay.pump.sweep import Sweep
from tests.pump.partners import DONE, Answering, Caller, frame, until
from tests.pump.stage import Stage, Streaming, bounds

LINE = frame("x" * 1000)


class Waiting:
    """A stream as far as shedding goes."""

    def __init__(self, pending_bytes: int) -> None:
        self.sink, self.pending, self.dropped = self, b"x" * pending_bytes, ""

    def drop(self, end: str) -> None:
        self.dropped = end


def shed(*pending_bytes: int) -> list[int]:
    """What waited for those that were ended."""
    pump = Pump(bounds(), 0, Sweep(lambda *_: None))
    streams: list[Any] = [Waiting(count) for count in pending_bytes]
    pump.live.update((stream, "key") for stream in streams)
    pump.shed()
    assert {stream.dropped for stream in streams} <= {"shed", ""}
    return [len(stream.pending) for stream in streams if stream.dropped]


@pytest.mark.parametrize(
    ("pending", "ended"),
    [
        ((10, 40, 30, 0, 20), [40, 30]),
        ((50, 50), [50]),
        ((50, 49), [50]),
        ((49, 50, 2), [49, 50]),
        ((7,), [7]),
        ((0, 0, 1), [1]),
    ],
)
def test_the_largest_end_until_half_is_free(pending: tuple[int, ...], ended: list[int]) -> None:
    assert shed(*pending) == ended


@pytest.mark.parametrize("pending", [(), (0,), (0, 0, 0)])
def test_where_nothing_waits_nobody_ends(pending: tuple[int, ...]) -> None:
    assert shed(*pending) == []


def lagging(narrow: Streaming) -> tuple[Stage, Caller, Answering]:
    """A stream whose caller does not read."""
    stage, caller, upstream = narrow()
    [stream] = stage.pump.live
    upstream.say(*[LINE] * 200)
    until(lambda: stream.sink.pending)
    return stage, caller, upstream


def test_one_that_lags_ends_without_a_word_and_one_that_keeps_up_goes_on(narrow: Streaming) -> None:
    stage, slow, upstream = lagging(narrow)
    caller = stage.caller()
    other = stage.begin(caller)
    other.say(frame("a"))
    caller.until(b"a\n\n")
    stage.pump.shed()
    assert upstream.sees_the_other_leave(1)
    until(lambda: stage.closed)
    assert [meter.endings[0].end for meter in stage.meters if meter.endings] == ["shed"]
    slow.sees_the_other_leave()
    assert b"error" not in slow.received
    assert not slow.is_whole
    other.say(frame("b"), DONE)
    caller.until(DONE)
    assert caller.body == frame("a") + frame("b") + DONE


def test_nobody_waits_for_the_one_that_does_not_read(narrow: Streaming) -> None:
    stage, _, _ = lagging(narrow)
    began = time.monotonic()
    stage.pump.shed()
    until(lambda: stage.served[0].dead)
    assert time.monotonic() - began < 1
    assert (stage.closed, stage.end) == (1, "shed")


def test_shedding_twice_ends_it_once(narrow: Streaming) -> None:
    stage, _, _ = lagging(narrow)
    stage.pump.shed()
    stage.pump.shed()
    until(lambda: stage.served[0].dead)
    assert (stage.closed, len(stage.meter.endings)) == (1, 1)


def test_what_was_cut_first_keeps_its_reason(narrow: Streaming) -> None:
    stage, _, _ = lagging(narrow)
    [stream] = stage.pump.live
    stream.cut("revoked", "key_revoked")
    stream.drop("shed")
    until(lambda: stage.meters[0].endings)
    assert stage.end == "revoked"
