"""Tokens per minute in Redis, shared by all processes: the same sums by second, on the clock of the server."""

from relay.stores.rates import RateState
from relay.stores.redis_link import RedisLink
from relay.stores.redis_wire import Command, script
from relay.stores.token_rates import KEPT_SECONDS, state_of


class RedisTokenRates:
    """Tokens per key. `charging` is the command that counts, so that it may also be sent later."""

    def __init__(self, link: RedisLink) -> None:
        self._link, self._charge = link, script("charge_tokens")

    def charging(self, key_id: str, tokens: int) -> Command:
        return ("EVAL", self._charge, 1, _hash(key_id), tokens, KEPT_SECONDS)

    def charge(self, key_id: str, tokens: int) -> None:
        """Count what a request took. Raises StoreDown."""
        self._link.ask(self.charging(key_id, tokens))

    def look(self, key_id: str, per_minute: int) -> RateState:
        """The key's minute: whether anything of `per_minute` is left, and when there is more. Raises StoreDown."""
        sums, (seconds, microseconds) = self._link.ask(("HGETALL", _hash(key_id)), ("TIME",))
        pairs = sums.items() if isinstance(sums, dict) else zip(sums[::2], sums[1::2], strict=True)
        now = int(seconds) + int(microseconds) / 1_000_000
        return state_of([(int(second), int(tokens)) for second, tokens in pairs], per_minute, now)


def _hash(key_id: str) -> str:
    return f"relay:tpm:{key_id}"
