"""A month's savings: calls x tokens x price per million."""

import pytest

from relay.core.comparison.savings import savings
from relay.core.usage import Usage, cost_usd


def test_a_hundred_thousand_calls_of_a_million_tokens_save_158_000_a_month() -> None:
    """Not "150,000 a year", as a tutorial has it."""
    tokens = Usage(0, 1_000_000)
    saved = savings(cost_usd(tokens, 0, 2.00), cost_usd(tokens, 0, 0.42), 100_000)
    assert saved is not None
    assert (saved.first_usd, saved.second_usd) == (pytest.approx(200_000), pytest.approx(42_000))
    assert saved.month_usd == pytest.approx(158_000)
    assert saved.year_usd == pytest.approx(1_896_000)
    assert saved.share == pytest.approx(0.79)


@pytest.mark.parametrize(("official", "ours", "percent"), [(60, 8, 87), (45, 15, 67), (10, 2.5, 75), (2, 0.42, 79)])
def test_shares_of_known_prices(official: float, ours: float, percent: int) -> None:
    saved = savings(official, ours, 1)
    assert saved is not None
    assert saved.share is not None
    assert round(saved.share * 100) == percent


def test_a_dearer_model_saves_less_than_nothing() -> None:
    saved = savings(1.0, 3.0, 10)
    assert saved is not None
    assert saved.month_usd == -20


@pytest.mark.parametrize(("first", "second"), [(None, 1.0), (1.0, None)])
def test_what_is_not_known_saves_nothing(first: float | None, second: float | None) -> None:
    assert savings(first, second, 10) is None


def test_a_share_of_nothing_is_unknown() -> None:
    saved = savings(0.0, 1.0, 10)
    assert saved is not None
    assert saved.share is None
