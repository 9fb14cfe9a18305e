"""Figures over calls: percentiles, speeds, tokens and cost, and what stays unknown."""

import pytest

from config.schema import Price
from relay.core.comparison.figures import Call, Cost, figures, percentile
from relay.core.usage import Usage

PRICE = Price(input=2.0, output=8.0)
USAGE = Usage(10, 101)


def call(ttft_ms: float = 100, text_seconds: float = 1.0, usage: Usage | None = USAGE) -> Call:
    return Call("", ttft_ms / 1000, text_seconds, usage)


def test_times_are_of_whole_answers() -> None:
    made = figures([call(ms) for ms in range(100, 0, -1)] + [Call("status 500", 9.0, 9.0)], None)
    assert (made.ttft_ms_p50, made.ttft_ms_p95) == (pytest.approx(50.5), pytest.approx(95))
    assert (made.requests, made.failures, made.error_rate) == (101, {"status 500": 1}, pytest.approx(1 / 101))


@pytest.mark.parametrize(
    ("values", "p50", "p95"), [([], None, None), ([7.0], 7.0, 7.0), ([1, 2], 1.5, 2), (range(1, 21), 10.5, 19)]
)
def test_percentiles_are_measured_values(values: list[float], p50: float | None, p95: float | None) -> None:
    assert (percentile(values, 50), percentile(values, 95)) == (p50, p95)


def test_speed_is_the_tokens_behind_the_first_over_their_time() -> None:
    assert call(text_seconds=2.0).tokens_per_second == 50.0
    made = figures([call(text_seconds=seconds) for seconds in (1.0, 2.0, 10.0)], None)
    assert made.tokens_per_second == 50.0


@pytest.mark.parametrize(
    "unmeasured",
    [call(usage=None), call(text_seconds=0.0), call(usage=Usage(10, 1)), Call("cut", 0.1, 1.0, Usage(10, 101))],
)
def test_speed_that_was_not_measured_is_unknown(unmeasured: Call) -> None:
    assert unmeasured.tokens_per_second is None
    assert figures([unmeasured], None).tokens_per_second is None


def test_cost_is_usage_times_price_per_million() -> None:
    made = figures([call(usage=Usage(1_000_000, 500_000))] * 2, PRICE)
    assert (made.input_tokens, made.output_tokens, made.with_usage) == (2_000_000, 1_000_000, 2)
    assert made.cost == Cost(12.0, complete=True)


def test_an_answer_without_usage_makes_the_cost_a_lower_bound() -> None:
    made = figures([call(), call(usage=None)], PRICE)
    assert (made.with_usage, made.without_usage, made.output_tokens) == (1, 1, 101)
    assert made.cost == Cost((10 * 2 + 101 * 8) / 1e6, complete=False)


def test_an_answer_that_broke_off_may_have_cost_and_a_refused_one_did_not() -> None:
    assert figures([call(), Call("broken", 0.1, 0.5)], PRICE).without_usage == 1
    refused = figures([call(), Call("status 429 rate_limit_exceeded")], PRICE)
    assert refused.without_usage == 0
    assert refused.cost is not None
    assert refused.cost.complete


def test_nothing_measured_is_nothing_known() -> None:
    for made in (figures([], PRICE), figures([Call("status 500")], PRICE)):
        known = (made.ttft_ms_p50, made.ttft_ms_p95, made.tokens_per_second, made.output_tokens, made.cost)
        assert known == (None,) * 5
    assert figures([], PRICE).error_rate is None
    assert figures([call()], None).cost is None
