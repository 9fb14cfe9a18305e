"""The limits of keys: in the memory of one process, or shared by several through Redis, with a fallback."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from relay.core.spending import Amounts
from relay.core.tokens import TokenLimits
from relay.stores.fallback import RETRY_SECONDS, Denial, Fallback, Share, SharedRates, SharedSlots
from relay.stores.rates import MemoryRates, RateState
from relay.stores.rates_redis import RedisRates
from relay.stores.redis_link import RedisLink, Report, StoreDown
from relay.stores.slots import MemorySlots
from relay.stores.slots_redis import LEASE_SECONDS, RENEW_SECONDS, RedisSlots
from relay.stores.spending_shared import (
    SharedTokenRates,
    SharedTotals,
    SpendingDenial,
    SpendingFallback,
    SpendingShare,
    Untold,
)
from relay.stores.token_rates import MemoryTokenRates
from relay.stores.token_rates_redis import RedisTokenRates
from relay.stores.totals import MemoryTotals
from relay.stores.totals_redis import RedisTotals

# How often `tend` wants to be called.
TEND_SECONDS = RETRY_SECONDS
# The time in which every process has noticed that Redis is back and told it what it holds: the rest of an attempt to
# connect, the pause, the next attempt.
SETTLE_SECONDS = 2.5
# After a shorter silence Redis still knows all leases when their next renewal comes.
SILENCE_SECONDS_MAX = LEASE_SECONDS - RENEW_SECONDS - SETTLE_SECONDS


class Slots(Protocol):
    """Concurrency slots per key."""

    def acquire(self, key_id: str, slots_max: int) -> str | None: ...

    def release(self, key_id: str, lease: str) -> bool: ...

    def held(self, key_id: str) -> int: ...


class Rates(Protocol):
    """Requests per key and minute."""

    def hit(self, key_id: str, per_minute: int) -> RateState: ...

    def look(self, key_id: str, per_minute: int) -> RateState: ...


class TokenRates(Protocol):
    """Tokens per key and minute."""

    def charge(self, key_id: str, tokens: int) -> None: ...

    def look(self, key_id: str, per_minute: int) -> RateState: ...


class Totals(Protocol):
    """What client tokens took over their lives."""

    def take(self, name: str, limits: TokenLimits, nano_usd: int) -> str: ...

    def add(self, name: str, amounts: Amounts) -> None: ...

    def look(self, name: str) -> Amounts: ...


class Limits(Protocol):
    """What `open_limits` returns. `degraded`: several processes should share limits, and now do not."""

    @property
    def slots(self) -> Slots: ...

    @property
    def rates(self) -> Rates: ...

    @property
    def token_rates(self) -> TokenRates: ...

    @property
    def totals(self) -> Totals: ...

    @property
    def degraded(self) -> bool: ...

    def tend(self) -> None: ...

    def fall_back(self, on_store_error: str) -> None: ...

    def close(self) -> None: ...


def open_limits(redis_url: str, processes: int, on_store_error: str, report: Report) -> Limits:
    """Return the limits of this process, one of `processes`; without a URL in its memory. Called inside the worker.

    `on_store_error`: "local" or "deny". `report` is told once whenever Redis goes away. Never raises for Redis' sake.
    """
    if not redis_url:
        return MemoryLimits()
    shared = SharedLimits(RedisLink(redis_url, report), processes, on_store_error)
    shared.tend()
    return shared


def reachable(redis_url: str) -> bool:
    """Whether Redis answers there, within the budget, and takes writes."""
    link = RedisLink(redis_url, lambda where, error: None)
    try:
        return link.mend() is not None
    finally:
        link.close()


class MemoryLimits:
    """One process alone: nothing to tend."""

    degraded = False

    def __init__(self) -> None:
        self.slots, self.rates = MemorySlots(), MemoryRates()
        self.token_rates, self.totals = MemoryTokenRates(), MemoryTotals()

    def tend(self) -> None:
        """Nothing expires here."""

    def fall_back(self, on_store_error: str) -> None:
        """Nothing can go away here."""

    def close(self) -> None:
        """Nothing is open here."""


class SharedLimits:
    """Through Redis. `clock`: seconds, never set back."""

    def __init__(
        self, link: RedisLink, processes: int, on_store_error: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._link, self._processes, self._clock = link, processes, clock
        self._leases = RedisSlots(link)
        fallback = self._fallback(on_store_error)
        self.slots = SharedSlots(self._leases, fallback, clock)
        self.rates = SharedRates(RedisRates(link), fallback)
        self._untold, spending = Untold(link), self._spending_fallback(on_store_error)
        self.token_rates = SharedTokenRates(RedisTokenRates(link), self._untold, spending)
        self.totals = SharedTotals(RedisTotals(link), self._untold, spending)
        self._renew_at = clock()

    @property
    def degraded(self) -> bool:
        """Whether the fallback decides, or is asked too."""
        return self._link.down or self.slots.settling

    def tend(self) -> None:
        """Connect again if need be, and prolong the leases when it is time. Never raises."""
        silent_seconds = self._link.mend()
        if silent_seconds is not None and silent_seconds > SILENCE_SECONDS_MAX:
            self.slots.settled_at = self._clock() + SETTLE_SECONDS
        if silent_seconds is not None or self._clock() >= self._renew_at:
            self._renew_at = self._clock() + RENEW_SECONDS
            with suppress(StoreDown):
                self._leases.renew()
                self._untold.retry()

    def fall_back(self, on_store_error: str) -> None:
        """From now on do what `on_store_error` says while Redis is away."""
        self.slots.fallback = self.rates.fallback = self._fallback(on_store_error)
        self.token_rates.fallback = self.totals.fallback = self._spending_fallback(on_store_error)

    def close(self) -> None:
        """Give the connection up. Leases that are still held expire."""
        self._link.close()

    def _fallback(self, on_store_error: str) -> Fallback:
        return Denial() if on_store_error == "deny" else Share(self._leases.mine, self._processes)

    def _spending_fallback(self, on_store_error: str) -> SpendingFallback:
        return SpendingDenial() if on_store_error == "deny" else SpendingShare(self._processes)
