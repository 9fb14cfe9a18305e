"""The one timer: who is due is called, nobody can stop it for the others, and it rests when there is nobody."""

import time

import gevent
import pytest

from relay.pump.sweep import NEVER, Sweep
from tests.pump.conftest import QUICK_SECONDS
from tests.pump.partners import until


class Item:
    """Takes down when it was called; what to do then is the test's."""

    def __init__(self, due: float = 0.0) -> None:
        self.due = due
        self.calls: list[float] = []
        self.again_after = NEVER
        self.error: BaseException | None = None
        self.discards: tuple[Sweep, list[Item]] | None = None

    def on_due(self, now: float) -> None:
        self.calls.append(now)
        self.due = now + self.again_after
        if self.discards is not None:
            for item in self.discards[1]:
                self.discards[0].discard(item)
        if self.error is not None:
            raise self.error


def test_who_is_due_is_called_with_the_time(sweep: Sweep) -> None:
    item = Item()
    sweep.add(item)
    until(lambda: item.calls, 0.5)
    assert abs(item.calls[0] - time.monotonic()) < 0.1
    sweep.discard(item)


def test_nobody_is_called_early(sweep: Sweep) -> None:
    due = time.monotonic() + 0.1
    item = Item(due)
    sweep.add(item)
    until(lambda: item.calls, 0.5)
    sweep.discard(item)
    assert due <= item.calls[0] < due + 0.1


def test_who_sets_no_next_time_is_called_once(sweep: Sweep) -> None:
    item = Item()
    sweep.add(item)
    gevent.sleep(QUICK_SECONDS * 5)
    assert len(item.calls) == 1
    sweep.discard(item)


def test_who_sets_a_next_time_is_called_again(sweep: Sweep) -> None:
    item = Item()
    item.again_after = 0.0
    sweep.add(item)
    until(lambda: len(item.calls) >= 3, 0.5)
    sweep.discard(item)


def test_who_was_discarded_is_not_called(sweep: Sweep) -> None:
    item, other = Item(), Item(due=NEVER)
    sweep.add(item)
    sweep.add(other)
    sweep.discard(item)
    gevent.sleep(QUICK_SECONDS * 3)
    assert (item.calls, len(sweep)) == ([], 1)
    sweep.discard(other)


def test_who_is_discarded_by_another_at_the_same_tick_is_not_called(sweep: Sweep) -> None:
    """Its descriptors are closed by then."""
    items = [Item() for _ in range(5)]
    for item in items:
        item.discards = sweep, items
        sweep.add(item)
    gevent.sleep(QUICK_SECONDS * 3)
    assert sum(len(item.calls) for item in items) == 1


def test_who_fails_is_reported_and_stops_nobody(sweep: Sweep, reported: list[str]) -> None:
    failing, others = Item(), [Item() for _ in range(5)]
    failing.error = RuntimeError("broken")
    failing.again_after = 0.0
    for item in (failing, *others):
        item.again_after = 0.0
        sweep.add(item)
    until(lambda: all(len(item.calls) >= 2 for item in (failing, *others)), 0.5)
    for item in (failing, *others):
        sweep.discard(item)
    assert set(reported) == {"sweep: RuntimeError('broken')"}
    reported.clear()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), gevent.GreenletExit()], ids=repr)
def test_no_failure_whatsoever_stops_the_timer(sweep: Sweep, reported: list[str], error: BaseException) -> None:
    item = Item()
    item.error, item.again_after = error, 0.0
    sweep.add(item)
    until(lambda: len(item.calls) >= 2, 0.5)
    sweep.discard(item)
    assert reported
    reported.clear()


def test_the_timer_rests_when_there_is_nobody(sweep: Sweep) -> None:
    loop = gevent.get_hub().loop
    idle, items = loop.activecnt, [Item(due=NEVER), Item(due=NEVER)]
    for item in items:
        sweep.add(item)
    assert loop.activecnt == idle + 1
    sweep.discard(items[0])
    assert loop.activecnt == idle + 1
    sweep.discard(items[1])
    sweep.discard(items[1])
    assert (loop.activecnt, len(sweep)) == (idle, 0)


def test_the_timer_runs_again_after_a_rest(sweep: Sweep) -> None:
    for _ in range(3):
        item = Item()
        sweep.add(item)
        until(lambda item=item: item.calls, 0.5)
        sweep.discard(item)
        gevent.sleep(QUICK_SECONDS * 2)
