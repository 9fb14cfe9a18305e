"""Figures of a model on one way in one run. None is what was not measured, never zero and never a guess."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from relay.core.usage import Usage, cost_usd


class Price(Protocol):
    """US dollars per million tokens."""

    @property
    def input(self) -> float: ...

    @property
    def output(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One streamed answer. `failure`: why it is none, or not whole; "" if it is. Seconds: from sending to the first
    text, from the first text to the last. `usage`: the upstream's own count.
    """

    failure: str = ""
    ttft_seconds: float | None = None
    text_seconds: float | None = None
    usage: Usage | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """The tokens behind the first one over the time in which they came."""
        if self.failure or self.usage is None or not self.text_seconds or self.usage.output_tokens < 2:
            return None
        return (self.usage.output_tokens - 1) / self.text_seconds


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars. `complete`: of all answers; else there were some whose tokens nobody told, and it was more."""

    usd: float
    complete: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """Times in milliseconds over whole answers; tokens and cost over all calls whose usage was told."""

    requests: int
    failures: Mapping[str, int]
    ttft_ms_p50: float | None
    ttft_ms_p95: float | None
    tokens_per_second: float | None
    input_tokens: int | None
    output_tokens: int | None
    with_usage: int
    without_usage: int
    cost: Cost | None

    @property
    def error_rate(self) -> float | None:
        return sum(self.failures.values()) / self.requests if self.requests else None


def figures(calls: Sequence[Call], price: Price | None) -> Figures:
    """`price` None: unknown, and so is the cost."""
    whole = [call for call in calls if not call.failure]
    ttfts = [call.ttft_seconds * 1000 for call in whole if call.ttft_seconds is not None]
    speeds = [speed for call in whole if (speed := call.tokens_per_second) is not None]
    told = [call.usage for call in calls if call.usage is not None]
    # A call that was refused before any answer costs nothing; one that broke off may.
    unknown = sum(call.usage is None and (not call.failure or call.ttft_seconds is not None) for call in calls)
    cost = _cost(told, price)
    return Figures(
        requests=len(calls),
        failures=dict(Counter(call.failure for call in calls if call.failure).most_common()),
        ttft_ms_p50=percentile(ttfts, 50),
        ttft_ms_p95=percentile(ttfts, 95),
        tokens_per_second=median(speeds) if speeds else None,
        input_tokens=sum(usage.input_tokens for usage in told) if told else None,
        output_tokens=sum(usage.output_tokens for usage in told) if told else None,
        with_usage=len(told),
        without_usage=unknown,
        cost=None if cost is None else Cost(cost, complete=not unknown),
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Nearest rank: a value that was measured. The median of an even number is the mean of its two middle ones."""
    if not values:
        return None
    if percent == 50:
        return median(values)
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def _cost(told: Sequence[Usage], price: Price | None) -> float | None:
    if not told or price is None:
        return None
    return sum(cost_usd(usage, price.input, price.output) for usage in told)
