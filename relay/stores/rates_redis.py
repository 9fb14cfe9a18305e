"""Request rates in Redis, shared by all processes: the same moving window, by the library's own scripts, on the clock
of the server.
"""

from limits.storage import RedisStorage

from relay.stores.rates import WINDOW_SECONDS, RateState
from relay.stores.redis_link import RedisLink
from relay.stores.redis_wire import script


class RedisRates:
    """Hits per key. One round trip each, in which nothing else happens to the key."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._hit = (
            script("hit_rate")
            .replace(b"--[[ acquire ]]", RedisStorage.SCRIPT_ACQUIRE_MOVING_WINDOW)
            .replace(b"--[[ window ]]", RedisStorage.SCRIPT_MOVING_WINDOW)
        )

    def hit(self, key_id: str, per_minute: int) -> RateState:
        """Count one request if it still fits into the last 60 seconds; a refused one is not counted.

        `per_minute`: 1 or more. Raises StoreDown.
        """
        [state] = self._link.ask(("EVAL", self._hit, 1, f"relay:rate:{key_id}", per_minute, WINDOW_SECONDS))
        allowed, within, reset_seconds = state
        return RateState(bool(allowed), per_minute, max(0, per_minute - within), max(0.0, float(reset_seconds)))
