"""Request rates in the memory of one process: an exact moving window of 60 seconds per key.

By hand: the `limits` library's memory never forgets a key, looks through all of them up to a hundred times a second,
and stands on the wall clock, which, set back by an hour, would refuse everything for an hour.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RateState:
    """A key's minute after a hit. `reset_seconds`: until the oldest request in the window leaves it."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float


class MemoryRates:
    """Hits per key. `clock`: seconds, never set back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # the times of the requests that were counted; the key that was hit last stands last
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    def hit(self, key_id: str, per_minute: int) -> RateState:
        """Count one request if it still fits into the last 60 seconds; a refused one is not counted.

        `per_minute`: 1 or more.
        """
        now = self._clock()
        self._forget_until(now - WINDOW_SECONDS)
        window = self._windows.setdefault(key_id, deque())
        _shorten(window, now - WINDOW_SECONDS)
        allowed = len(window) < per_minute
        if allowed:
            window.append(now)
            self._windows.move_to_end(key_id)
        return RateState(allowed, per_minute, max(0, per_minute - len(window)), window[0] + WINDOW_SECONDS - now)

    def look(self, key_id: str, per_minute: int) -> RateState:
        """The key's minute as it is, without counting anything."""
        now, window = self._clock(), self._windows.get(key_id, deque())
        _shorten(window, now - WINDOW_SECONDS)
        left = per_minute - len(window)
        return RateState(left > 0, per_minute, max(0, left), window[0] + WINDOW_SECONDS - now if window else 0.0)

    def _forget_until(self, start: float) -> None:
        """Drop keys without a request since `start`: two at a time, for each hit adds one at most."""
        for key_id, window in list(islice(self._windows.items(), 2)):
            if not window or window[-1] < start:
                del self._windows[key_id]


def _shorten(window: deque[float], start: float) -> None:
    """Drop what lies before `start`."""
    while window and window[0] < start:
        window.popleft()
