"""What client tokens have taken over their lives, in Redis, shared by all processes."""

from relay.core.spending import Amounts, nano
from relay.core.tokens import TokenLimits
from relay.stores.redis_link import RedisLink
from relay.stores.redis_wire import Command, script
from relay.stores.totals import COST, KEPT_SECONDS, REQUESTS, TOKENS

NAMES = ("", REQUESTS, TOKENS, COST)
FIELDS = ("requests", "tokens", "nano_usd")
NO_LIMIT = -1


class RedisTotals:
    """Totals per token. `adding` is the commands that count, so that they may also be sent later."""

    def __init__(self, link: RedisLink) -> None:
        self._link, self._take = link, script("take_totals")

    def take(self, name: str, limits: TokenLimits, nano_usd: int) -> str:
        """Count one request that may cost `nano_usd`, unless a limit is in its way: then return that limit's name.

        Raises StoreDown; it may have been counted then.
        """
        cost_max = None if limits.cost_usd is None else nano(limits.cost_usd)
        bounds = [NO_LIMIT if bound is None else bound for bound in (limits.requests, limits.tokens, cost_max)]
        [exceeded] = self._link.ask(("EVAL", self._take, 1, _hash(name), *bounds, nano_usd, KEPT_SECONDS))
        return NAMES[int(exceeded)]

    def adding(self, name: str, amounts: Amounts) -> list[Command]:
        changed = [(field, getattr(amounts, field)) for field in FIELDS if getattr(amounts, field)]
        increments: list[Command] = [("HINCRBY", _hash(name), field, amount) for field, amount in changed]
        return [*increments, ("EXPIRE", _hash(name), KEPT_SECONDS)]

    def add(self, name: str, amounts: Amounts) -> None:
        """Add to a token's totals; what was taken too much is given back by a negative amount. Raises StoreDown."""
        self._link.ask(*self.adding(name, amounts))

    def look(self, name: str) -> Amounts:
        """The token's totals so far; `nano_usd` with what its running requests have reserved. Raises StoreDown."""
        [found] = self._link.ask(("HMGET", _hash(name), *FIELDS))
        return Amounts(*(int(value or 0) for value in found))


def _hash(name: str) -> str:
    return f"relay:token:{name}"
