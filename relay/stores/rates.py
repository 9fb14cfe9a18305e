"""Request rates in the memory of one process: an exact moving window of 60 seconds per key, by the `limits` library."""

from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter


@dataclass(frozen=True, slots=True)
class RateState:
    """A key's minute after a hit. `reset_seconds`: until the oldest request in the window leaves it."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: float


class MemoryRates:
    """Hits per key. Built inside the worker, after the patching: the storage starts a timer."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, key_id: str, per_minute: int, now: float) -> RateState:
        """Count one request if it still fits; `now` in seconds of the wall clock, on which the library's windows
        run.
        """
        item = RateLimitItemPerMinute(per_minute)
        allowed = self._limiter.hit(item, key_id)
        stats = self._limiter.get_window_stats(item, key_id)
        return RateState(allowed, per_minute, stats.remaining, max(0.0, stats.reset_time - now))
