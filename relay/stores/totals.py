"""What client tokens have taken over their lives, in the memory of one process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from relay.core.spending import Amounts, nano
from relay.core.tokens import TokenLimits

REQUESTS, TOKENS, COST = "requests", "tokens", "cost_usd"
# What a token began may end long after the token did; nobody can begin anything new by then.
KEPT_SECONDS = 7_200


class MemoryTotals:
    """Totals per token. `clock`: seconds, never set back; a token is forgotten some time after its end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # until when they are kept, and the totals; the token that was counted last stands last
        self._totals: OrderedDict[str, tuple[float, Amounts]] = OrderedDict()

    def take(self, name: str, limits: TokenLimits, nano_usd: int) -> str:
        """Count one request that may cost `nano_usd`, unless a limit is in its way: then return that limit's name."""
        total = self.look(name)
        exceeded = exceeded_by(total, limits, nano_usd)
        if not exceeded:
            self.add(name, Amounts(1, 0, nano_usd))
        return exceeded

    def add(self, name: str, amounts: Amounts) -> None:
        """Add to a token's totals; what was taken too much is given back by a negative amount."""
        now, total = self._clock(), self.look(name)
        self._forget_until(now)
        self._totals[name] = (
            now + KEPT_SECONDS,
            Amounts(
                total.requests + amounts.requests, total.tokens + amounts.tokens, total.nano_usd + amounts.nano_usd
            ),
        )
        self._totals.move_to_end(name)

    def look(self, name: str) -> Amounts:
        """The token's totals so far; `nano_usd` with what its running requests have reserved."""
        return self._totals.get(name, (0.0, Amounts()))[1]

    def _forget_until(self, now: float) -> None:
        for name, (kept_until, _) in list(islice(self._totals.items(), 2)):
            if kept_until < now:
                del self._totals[name]


def exceeded_by(total: Amounts, limits: TokenLimits, nano_usd: int) -> str:
    """Return the name of the limit that one more request would exceed, or nothing."""
    if limits.requests is not None and total.requests >= limits.requests:
        return REQUESTS
    if limits.tokens is not None and total.tokens >= limits.tokens:
        return TOKENS
    if limits.cost_usd is not None and total.nano_usd + nano_usd > nano(limits.cost_usd):
        return COST
    return ""
