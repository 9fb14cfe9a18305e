"""What a request may cost before it runs, and what it did cost then. Money is whole nanodollars: sums are exact."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from relay.core.usage import Usage

NANO = 10**9
# A prompt's tokens are told only by the upstream; four bytes of JSON a token is the usual guess.
BYTES_PER_TOKEN = 4
# What an answer is reserved for whose caller set it no bound; it is extended while the answer streams.
OUTPUT_TOKENS_ASSUMED = 1024
# These went to an upstream that did nothing for them, or to none.
_UNPROCESSED = frozenset(
    {"upstream_unreachable", "upstream_connect_timeout", "upstream_tls", "upstream_redirect", "upstream_auth_failed"}
)


class Price(Protocol):
    """US dollars per million tokens."""

    @property
    def input(self) -> float: ...

    @property
    def output(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens of a request before it runs: the prompt's, guessed, and the answer's, at most where that is known."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request took. `nano_usd` is 0 where no price is known; `estimated`: the part of it that is a guess."""

    tokens: int = 0
    nano_usd: int = 0
    estimated: int = 0


@dataclass(frozen=True, slots=True)
class Amounts:
    """Totals of a token, or what is added to them."""

    requests: int = 0
    tokens: int = 0
    nano_usd: int = 0


class Told(Protocol):
    """A request that has ended, as it was measured."""

    usage: Usage | None
    error: str | None
    upstream_status: int | None
    sent_at: float
    frames_out: int
    bytes_out: int


def nano(usd: float) -> int:
    return round(usd * NANO)


def nano_cost(tokens: Estimate, price: Price) -> int:
    """Nanodollars for that many tokens, rounded up."""
    per_million = tokens.input_tokens * nano(price.input) + tokens.output_tokens * nano(price.output)
    return -(-per_million // 1_000_000)


def charge_for(told: Told, input_tokens: int, price: Price | None) -> Charge:
    """Return what the request took: by the upstream's count, or, where it told none, by ours (`input_tokens` for the
    prompt).

    Nothing where the upstream refused it or never had it. A caller that left before the end is charged for its prompt
    and for the frames that it got: the upstream bills them too.
    """
    if told.usage is not None:
        spent = Estimate(told.usage.input_tokens, told.usage.output_tokens)
        return Charge(_sum(spent), nano_cost(spent, price) if price else 0)
    if not _was_processed(told):
        return Charge()
    guess = Estimate(input_tokens, told.frames_out or told.bytes_out // BYTES_PER_TOKEN)
    cost = nano_cost(guess, price) if price else 0
    return Charge(_sum(guess), cost, cost)


def period_of(budget_per: str, now: float) -> str:
    """Return which day, 2027-01-15, or month, 2027-01, of UTC a budget is for. `now`: UTC epoch seconds."""
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    return day if budget_per == "day" else day[:7]


def _was_processed(told: Told) -> bool:
    refused = told.upstream_status is not None and told.upstream_status >= 400
    return bool(told.sent_at) and not refused and told.error not in _UNPROCESSED


def _sum(tokens: Estimate) -> int:
    return tokens.input_tokens + tokens.output_tokens
