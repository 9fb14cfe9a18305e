"""Tokens per minute and totals of client tokens through Redis, and who decides while Redis is away.

What a request took is counted in this process too: when Redis goes away nothing begins anew, and what Redis was not
told meanwhile it is told when it is back.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from msgspec.structs import replace as with_fields

from relay.core.spending import Amounts
from relay.core.tokens import TokenLimits
from relay.stores.fallback import unavailable
from relay.stores.rates import RateState
from relay.stores.redis_link import RedisLink, StoreDown
from relay.stores.redis_wire import Command
from relay.stores.token_rates import MemoryTokenRates
from relay.stores.token_rates_redis import RedisTokenRates
from relay.stores.totals import MemoryTotals
from relay.stores.totals_redis import RedisTotals

T = TypeVar("T")

# What waits for Redis to be back; beyond that the oldest is not told.
UNTOLD_MAX = 10_000


class SpendingFallback(Protocol):
    """Decides while Redis is away. `charge` and `add` are told of everything, always."""

    def charge(self, key_id: str, tokens: int) -> None: ...

    def look_at_rate(self, key_id: str, per_minute: int) -> RateState: ...

    def take(self, name: str, limits: TokenLimits, nano_usd: int) -> str: ...

    def add(self, name: str, amounts: Amounts) -> None: ...

    def look(self, name: str) -> Amounts: ...


class SpendingShare:
    """Each process its share of a limit, at least 1."""

    def __init__(self, processes: int) -> None:
        self._rates, self._totals, self._processes = MemoryTokenRates(), MemoryTotals(), processes

    def charge(self, key_id: str, tokens: int) -> None:
        """Count what a request of this process took."""
        self._rates.charge(key_id, tokens)

    def look_at_rate(self, key_id: str, per_minute: int) -> RateState:
        """What is left of this process' share."""
        return replace(self._rates.look(key_id, max(1, per_minute // self._processes)), limit=per_minute)

    def take(self, name: str, limits: TokenLimits, nano_usd: int) -> str:
        """Count one request if this process' share allows it, else return which limit does not."""
        return self._totals.take(name, self._share_of(limits), nano_usd)

    def add(self, name: str, amounts: Amounts) -> None:
        """Count what a request of this process took."""
        self._totals.add(name, amounts)

    def look(self, name: str) -> Amounts:
        """What this process took."""
        return self._totals.look(name)

    def _share_of(self, limits: TokenLimits) -> TokenLimits:
        return with_fields(
            limits,
            requests=self._of(limits.requests),
            tokens=self._of(limits.tokens),
            cost_usd=None if limits.cost_usd is None else limits.cost_usd / self._processes,
        )

    def _of(self, limit: int | None) -> int | None:
        return None if limit is None else max(1, limit // self._processes)


class SpendingDenial:
    """Nobody passes who has such a limit."""

    def charge(self, key_id: str, tokens: int) -> None:
        """Forget it: nothing is ever asked here."""

    def look_at_rate(self, key_id: str, per_minute: int) -> RateState:
        """Raise RelayError store_unavailable."""
        raise unavailable()

    def take(self, name: str, limits: TokenLimits, nano_usd: int) -> str:
        """Raise RelayError store_unavailable."""
        raise unavailable()

    def add(self, name: str, amounts: Amounts) -> None:
        """Forget it: nothing is ever asked here."""

    def look(self, name: str) -> Amounts:
        """Raise RelayError store_unavailable."""
        raise unavailable()


class Untold:
    """Tells Redis what it must know, now or when it is back."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._waiting: deque[Command] = deque(maxlen=UNTOLD_MAX)

    def tell(self, *commands: Command) -> None:
        """Never raises StoreDown."""
        try:
            self._link.ask(*commands)
        except StoreDown as down:
            if not down.asked:  # else it may have been counted, and once too few is better than twice
                self._waiting.extend(commands)

    def retry(self) -> None:
        """Tell what waits. Raises StoreDown."""
        while self._waiting:
            self._link.ask(self._waiting[0])
            self._waiting.popleft()


class SharedTokenRates:
    """Tokens per key and minute: Redis' sums, or the fallback's while Redis is away."""

    def __init__(self, rates: RedisTokenRates, untold: Untold, fallback: SpendingFallback) -> None:
        self._rates, self._untold, self.fallback = rates, untold, fallback

    def charge(self, key_id: str, tokens: int) -> None:
        """Count what a request took. Never raises."""
        self.fallback.charge(key_id, tokens)
        self._untold.tell(self._rates.charging(key_id, tokens))

    def look(self, key_id: str, per_minute: int) -> RateState:
        """The key's minute. May raise RelayError."""
        return _or_else(
            lambda: self._rates.look(key_id, per_minute), lambda: self.fallback.look_at_rate(key_id, per_minute)
        )


class SharedTotals:
    """Totals per token: Redis', or the fallback's while Redis is away."""

    def __init__(self, totals: RedisTotals, untold: Untold, fallback: SpendingFallback) -> None:
        self._totals, self._untold, self.fallback = totals, untold, fallback

    def take(self, name: str, limits: TokenLimits, nano_usd: int) -> str:
        """Count one request, or return which limit is in its way. May raise RelayError."""
        taken = Amounts(1, 0, nano_usd)
        try:
            exceeded = self._totals.take(name, limits, nano_usd)
        except StoreDown as down:
            exceeded = self.fallback.take(name, limits, nano_usd)
            if not exceeded and not down.asked:
                self._untold.tell(*self._totals.adding(name, taken))
            return exceeded
        if not exceeded:
            self.fallback.add(name, taken)
        return exceeded

    def add(self, name: str, amounts: Amounts) -> None:
        """Add to a token's totals. Never raises."""
        self.fallback.add(name, amounts)
        self._untold.tell(*self._totals.adding(name, amounts))

    def look(self, name: str) -> Amounts:
        """The token's totals so far. May raise RelayError."""
        return _or_else(lambda: self._totals.look(name), lambda: self.fallback.look(name))


def _or_else(ask: Callable[[], T], otherwise: Callable[[], T]) -> T:
    try:
        return ask()
    except StoreDown:
        return otherwise()
