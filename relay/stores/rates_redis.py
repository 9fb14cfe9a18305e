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
        counted, within, reset_seconds = self._ask("hit", key_id, per_minute)
        return RateState(counted, per_minute, max(0, per_minute - within), reset_seconds)

    def look(self, key_id: str, per_minute: int) -> RateState:
        """The key's minute as it is, without counting anything. Raises StoreDown."""
        _, within, reset_seconds = self._ask("look", key_id, per_minute)
        return RateState(within < per_minute, per_minute, max(0, per_minute - within), reset_seconds)

    def _ask(self, deed: str, key_id: str, per_minute: int) -> tuple[bool, int, float]:
        name = f"relay:rate:{key_id}"
        [(counted, within, seconds)] = self._link.ask(("EVAL", self._hit, 1, name, per_minute, WINDOW_SECONDS, deed))
        return bool(counted), within, max(0.0, float(seconds))
