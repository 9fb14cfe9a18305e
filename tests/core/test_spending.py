"""What requests cost: exact sums, guesses marked as such, and whose day it is."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.spending import NANO, Charge, Estimate, charge_for, nano, nano_cost, period_of
from relay.core.usage import Usage


@dataclass(frozen=True)
class Price:
    input: float = 2.0
    output: float = 8.0


@dataclass
class Told:
    usage: Usage | None = None
    error: str | None = None
    upstream_status: int | None = 200
    sent_at: float = 1.0
    frames_out: int = 0
    bytes_out: int = 0


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**5), st.integers(0, 10**5))
def test_a_cost_is_exact_to_the_nanodollar_and_never_below(i: int, o: int, price_in: int, price_out: int) -> None:
    cost = nano_cost(Estimate(i, o), Price(price_in / 1000, price_out / 1000))
    assert cost == i * price_in + o * price_out


def test_what_is_less_than_a_nanodollar_is_one() -> None:
    assert nano_cost(Estimate(1, 0), Price(0.0001, 0)) == nano_cost(Estimate(10, 0), Price(0.0001, 0)) == 1
    assert nano_cost(Estimate(11, 0), Price(0.0001, 0)) == 2


def test_dollars_are_whole_nanodollars() -> None:
    assert nano(0.1) == NANO // 10
    assert nano_cost(Estimate(1_000_000, 0), Price()) == 2 * NANO


def test_the_upstreams_count_is_what_it_cost() -> None:
    told = Told(Usage(100, 50), frames_out=9)
    assert charge_for(told, 7, Price()) == Charge(150, 600_000, 0)
    assert charge_for(told, 7, None) == Charge(150, 0, 0)


def test_without_a_count_it_is_the_prompt_and_the_frames_and_marked() -> None:
    assert charge_for(Told(frames_out=50), 100, Price()) == Charge(150, 600_000, 600_000)
    assert charge_for(Told(bytes_out=200), 100, Price()) == Charge(150, 600_000, 600_000)


@pytest.mark.parametrize(
    "told",
    [
        Told(upstream_status=500),
        Told(upstream_status=400, frames_out=3),
        Told(upstream_status=None, sent_at=0.0),
        Told(upstream_status=None, error="upstream_unreachable"),
        Told(upstream_status=401, error="upstream_auth_failed"),
    ],
    ids=str,
)
def test_what_no_upstream_worked_on_costs_nothing(told: Told) -> None:
    assert charge_for(told, 100, Price()) == Charge()


@pytest.mark.parametrize("error", ["upstream_timeout", "client_gone", None])
def test_what_an_upstream_may_have_read_costs_its_prompt(error: str | None) -> None:
    assert charge_for(Told(upstream_status=None, error=error), 100, Price()) == Charge(100, 200_000, 200_000)


@pytest.mark.parametrize(
    ("per", "now", "wanted"),
    [
        ("day", 0.0, "1970-01-01"),
        ("day", 86_399.999, "1970-01-01"),
        ("day", 86_400.0, "1970-01-02"),
        ("month", 2_678_399.9, "1970-01"),
        ("month", 2_678_400.0, "1970-02"),
    ],
)
def test_days_and_months_are_of_utc(per: str, now: float, wanted: str) -> None:
    assert period_of(per, now) == wanted
