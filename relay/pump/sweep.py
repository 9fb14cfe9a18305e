"""One timer per process for every heartbeat and deadline: a timer per stream would cost a heap entry per frame."""

import time
from collections.abc import Callable
from typing import Protocol

import gevent

# A caller's departure must be seen within a second even where only polling shows it.
SWEEP_SECONDS = 0.25
NEVER = float("inf")


class Due(Protocol):
    """Something that wants to be called at a time.

    `due`: seconds of the monotonic clock; the callee sets the next one.
    """

    due: float

    def on_due(self, now: float) -> None: ...


class Sweep:
    """Calls each item once its time has come; runs only while there are items."""

    def __init__(self, report: Callable[[str, BaseException], None]) -> None:
        self._report = report
        self._items: set[Due] = set()
        self._timer = gevent.get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS)

    def add(self, item: Due) -> None:
        if not self._items:
            self._timer.start(self._tick)
        self._items.add(item)

    def discard(self, item: Due) -> None:
        self._items.discard(item)
        if not self._items:
            self._timer.stop()

    def __len__(self) -> int:
        return len(self._items)

    def _tick(self) -> None:
        now = time.monotonic()
        for item in [item for item in self._items if item.due <= now]:
            if item in self._items:  # one that was called before may have ended it
                self._call(item, now)

    def _call(self, item: Due, now: float) -> None:
        try:
            item.on_due(now)
        except BaseException as error:  # gevent would stop the timer, and every stream's deadlines with it
            self._report("sweep", error)
