"""Rows: the relay's share beside its upstream's, and the mean cost of a call."""

import pytest

from config.schema import Price
from relay.core.comparison.figures import Call
from relay.core.comparison.rows import per_call_usd, rows
from relay.core.usage import Usage

PRICES = {"a": Price(input=0, output=1.0)}


def calls(ttft_ms: float, output_tokens: int = 1_000_000, count: int = 1) -> list[Call]:
    return [Call("", ttft_ms / 1000, 1.0, Usage(0, output_tokens))] * count


def test_the_relays_share_is_the_difference_of_the_medians() -> None:
    made = rows({("a", "sequential", "relay"): calls(105), ("a", "sequential", "direct"): calls(100)}, PRICES)
    assert [row.added_ms for row in made] == [pytest.approx(5), None]
    assert [row.title for row in made] == ["a, sequential, relay", "a, sequential, direct"]


def test_without_its_counterpart_a_share_is_unknown() -> None:
    direct = ("a", "parallel", "direct"), ("b", "sequential", "direct")
    made = rows({("a", "sequential", "relay"): calls(105), **{place: calls(1) for place in direct}}, PRICES)
    assert made[0].added_ms is None
    failed = [Call("status 500")]
    assert rows({("a", "s", "relay"): calls(1), ("a", "s", "direct"): failed}, PRICES)[0].added_ms is None


def test_a_call_costs_the_mean_of_all_that_told_their_usage() -> None:
    silent = [Call("", 0.1, 1.0, None)] * 7
    made = rows(
        {("a", "x", "relay"): calls(1, 1_000_000, 3) + silent, ("a", "y", "relay"): calls(1, 5_000_000)}, PRICES
    )
    assert per_call_usd(made, "a") == pytest.approx(2.0)
    assert per_call_usd(made, "b") is None
    assert per_call_usd(rows({("a", "x", "relay"): silent}, PRICES), "a") is None
    assert per_call_usd(rows({("b", "x", "relay"): calls(1)}, PRICES), "b") is None
