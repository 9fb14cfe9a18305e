"""Tokens per minute in the memory of one process: charged when they are known, summed up by the second."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice

from relay.stores.rates import WINDOW_SECONDS, RateState

# A second's sum leaves the window only with the last that it may hold: the window is never shorter than a minute.
KEPT_SECONDS = WINDOW_SECONDS + 1


class MemoryTokenRates:
    """Tokens per key. `clock`: seconds, never set back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # tokens by second; the key that was charged last stands last
        self._windows: OrderedDict[str, dict[int, int]] = OrderedDict()

    def charge(self, key_id: str, tokens: int) -> None:
        """Count what a request took."""
        now = self._clock()
        self._forget_until(now - KEPT_SECONDS)
        window = self._windows.setdefault(key_id, {})
        window[int(now)] = window.get(int(now), 0) + tokens
        for second in [second for second in window if second <= now - KEPT_SECONDS]:
            del window[second]
        self._windows.move_to_end(key_id)

    def look(self, key_id: str, per_minute: int) -> RateState:
        """The key's minute: whether anything of `per_minute` is left, and when there is more."""
        return state_of(self._windows.get(key_id, {}).items(), per_minute, self._clock())

    def _forget_until(self, start: float) -> None:
        """Drop keys without a charge since `start`: two at a time, for each charge adds one at most."""
        for key_id, window in list(islice(self._windows.items(), 2)):
            if max(window, default=0) < start:
                del self._windows[key_id]


def state_of(sums: Iterable[tuple[int, int]], per_minute: int, now: float) -> RateState:
    """Return the state of a window, given as sums by second.

    `reset_seconds`: where nothing is left, until something is; else until the oldest sum leaves.
    """
    kept = sorted((second, tokens) for second, tokens in sums if now - KEPT_SECONDS < second <= now)
    used = sum(tokens for _, tokens in kept)
    return RateState(used < per_minute, per_minute, max(0, per_minute - used), _reset(kept, used - per_minute, now))


def _reset(kept: list[tuple[int, int]], over: int, now: float) -> float:
    for second, tokens in kept:
        over -= tokens
        if over < 0:
            return second + KEPT_SECONDS - now
    return 0.0
