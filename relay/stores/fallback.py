"""Slots and rates through Redis, and who decides while Redis is away: each process about its share, or nobody."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from relay.core.errors import RelayError
from relay.stores.rates import MemoryRates, RateState
from relay.stores.rates_redis import RedisRates
from relay.stores.redis_link import StoreDown
from relay.stores.slots import MemorySlots
from relay.stores.slots_redis import RedisSlots

# Redis is asked again that often.
RETRY_SECONDS = 1.0


class Fallback(Protocol):
    """Decides while Redis is away. `has_room`: would `acquire` give a slot? `note`: Redis let a request through."""

    def has_room(self, key_id: str, slots_max: int) -> bool: ...

    def acquire(self, key_id: str, slots_max: int) -> str | None: ...

    def hit(self, key_id: str, per_minute: int) -> RateState: ...

    def look(self, key_id: str, per_minute: int) -> RateState: ...

    def note(self, key_id: str, per_minute: int) -> None: ...


class Share:
    """Each process its share of a limit, at least 1, counting what it let through before Redis went away."""

    def __init__(self, slots: MemorySlots, processes: int) -> None:
        self._slots, self._rates, self._processes = slots, MemoryRates(), processes

    def has_room(self, key_id: str, slots_max: int) -> bool:
        """Whether a slot of this process' share is free."""
        return not slots_max or self._slots.held(key_id) < self._of(slots_max)

    def acquire(self, key_id: str, slots_max: int) -> str | None:
        """Take a slot of this process' share; None where all are taken."""
        return self._slots.acquire(key_id, self._of(slots_max) if slots_max else 0)

    def hit(self, key_id: str, per_minute: int) -> RateState:
        """Count one request if it fits into this process' share."""
        return replace(self._rates.hit(key_id, self._of(per_minute)), limit=per_minute)

    def look(self, key_id: str, per_minute: int) -> RateState:
        """What is left of this process' share."""
        return replace(self._rates.look(key_id, self._of(per_minute)), limit=per_minute)

    def note(self, key_id: str, per_minute: int) -> None:
        """Count one request that passed: when Redis goes away, the minute does not begin anew."""
        self._rates.hit(key_id, self._of(per_minute))

    def _of(self, limit: int) -> int:
        return max(1, limit // self._processes)


class Denial:
    """Nobody passes."""

    def has_room(self, key_id: str, slots_max: int) -> bool:
        """Raise RelayError store_unavailable."""
        raise unavailable()

    def acquire(self, key_id: str, slots_max: int) -> str | None:
        """Raise RelayError store_unavailable."""
        raise unavailable()

    def hit(self, key_id: str, per_minute: int) -> RateState:
        """Raise RelayError store_unavailable."""
        raise unavailable()

    def look(self, key_id: str, per_minute: int) -> RateState:
        """Nothing is left. A refusal tells this too, so that it must not raise."""
        return RateState(False, per_minute, 0, RETRY_SECONDS)

    def note(self, key_id: str, per_minute: int) -> None:
        """Forget it: nothing is ever counted here."""


def unavailable() -> RelayError:
    """Redis is away, and nobody may decide in its stead."""
    message = "The store that counts this key's requests is away."
    return RelayError("store_unavailable", message, retry_after_seconds=RETRY_SECONDS)


class SharedSlots:
    """Slots per key: Redis', or the fallback's while Redis is away.

    Until `settled_at`, on `clock`, both must agree: Redis is back, but not yet told what other processes hold.
    """

    def __init__(self, slots: RedisSlots, fallback: Fallback, clock: Callable[[], float]) -> None:
        self._slots, self.fallback, self._clock = slots, fallback, clock
        self.settled_at = -math.inf

    def acquire(self, key_id: str, slots_max: int) -> str | None:
        """Take a slot and return its lease; None where `slots_max` are taken (0: no limit). May raise RelayError."""
        if self.settling and not self.fallback.has_room(key_id, slots_max):
            return None
        try:
            return self._slots.acquire(key_id, slots_max)
        except StoreDown:
            return self.fallback.acquire(key_id, slots_max)

    @property
    def settling(self) -> bool:
        """Whether Redis came back so lately that it may not know all that is held."""
        return self._clock() < self.settled_at

    def release(self, key_id: str, lease: str) -> bool:
        """Give a slot back, wherever it came from; return whether the lease held one."""
        return self._slots.release(key_id, lease)

    def held(self, key_id: str) -> int:
        """Number of slots that the key holds now; while Redis is away, in this process."""
        try:
            return self._slots.held(key_id)
        except StoreDown:
            return self._slots.mine.held(key_id)


class SharedRates:
    """Hits per key: Redis', or the fallback's while Redis is away."""

    def __init__(self, rates: RedisRates, fallback: Fallback) -> None:
        self._rates, self.fallback = rates, fallback

    def hit(self, key_id: str, per_minute: int) -> RateState:
        """Count one request if it still fits into the last 60 seconds. May raise RelayError."""
        try:
            state = self._rates.hit(key_id, per_minute)
        except StoreDown:
            return self.fallback.hit(key_id, per_minute)
        if state.allowed:
            self.fallback.note(key_id, per_minute)
        return state

    def look(self, key_id: str, per_minute: int) -> RateState:
        """The key's minute as it is, without counting anything. Never raises."""
        try:
            return self._rates.look(key_id, per_minute)
        except StoreDown:
            return self.fallback.look(key_id, per_minute)
