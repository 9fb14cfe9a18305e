"""Tokens and totals while Redis is away: each process its share, or nobody; and what it is told when it is back."""

from collections.abc import Callable, Iterator

import pytest

from relay.core.errors import RelayError
from relay.core.spending import Amounts
from relay.core.tokens import TokenLimits
from relay.stores.redis_link import RedisLink
from relay.stores.shared import SharedLimits
from tests.stores.redis_server import RedisServer

PROCESSES = 4
LIMITS = TokenLimits(requests=8, tokens=400, cost_usd=0.000000040)
Open = Callable[[str], SharedLimits]


@pytest.fixture
def shared(redis: RedisServer) -> Iterator[Open]:
    """shared("deny"): limits whose link is up."""
    opened: list[SharedLimits] = []

    def open_one(on_store_error: str) -> SharedLimits:
        limits = SharedLimits(RedisLink(redis.url, lambda *told: None, 5.0), PROCESSES, on_store_error)
        limits.tend()
        opened.append(limits)
        return limits

    yield open_one
    for limits in opened:
        limits.close()


def away(limits: SharedLimits) -> None:
    limits._link.close()


def back(limits: SharedLimits) -> None:
    limits.tend()
    assert not limits._link.down


def test_each_process_has_its_share_of_the_requests(shared: Open) -> None:
    limits = shared("local")
    assert limits.totals.take("a", LIMITS, 0) == ""
    away(limits)
    assert [limits.totals.take("a", LIMITS, 0) for _ in range(2)] == ["", "requests"]
    assert limits.totals.look("a") == Amounts(2)


def test_each_process_has_its_share_of_the_cost_and_the_tokens(shared: Open) -> None:
    limits = shared("local")
    away(limits)
    assert [limits.totals.take("a", LIMITS, 10), limits.totals.take("a", LIMITS, 1)] == ["", "cost_usd"]
    limits.totals.add("b", Amounts(0, 100, 0))
    assert limits.totals.take("b", LIMITS, 0) == "tokens"
    limits.token_rates.charge("k", 25)
    assert not limits.token_rates.look("k", 100).allowed
    assert (limits.token_rates.look("k", 104).remaining, limits.token_rates.look("k", 104).limit) == (1, 104)


def test_a_limit_smaller_than_the_processes_is_one_each(shared: Open) -> None:
    limits = shared("local")
    away(limits)
    assert [limits.totals.take("a", TokenLimits(requests=2), 0) for _ in range(2)] == ["", "requests"]


def test_what_was_counted_before_it_went_away_is_not_forgotten(shared: Open) -> None:
    limits = shared("local")
    limits.token_rates.charge("k", 25)
    limits.totals.add("a", Amounts(0, 100, 0))
    away(limits)
    assert not limits.token_rates.look("k", 100).allowed
    assert limits.totals.take("a", LIMITS, 0) == "tokens"


def test_when_it_is_back_it_is_told_what_was_counted_meanwhile(shared: Open) -> None:
    limits, other = shared("local"), shared("local")
    away(limits)
    limits.token_rates.charge("k", 30)
    assert limits.totals.take("a", LIMITS, 10) == ""
    limits.totals.add("a", Amounts(0, 7, -4))
    back(limits)
    assert other.totals.look("a") == Amounts(1, 7, 6)
    assert other.token_rates.look("k", 100).remaining == 70
    limits.tend()
    assert other.totals.look("a") == Amounts(1, 7, 6)


def test_deny_lets_nobody_pass_and_charges_never_fail(shared: Open) -> None:
    limits = shared("deny")
    away(limits)
    limits.token_rates.charge("k", 30)
    limits.totals.add("a", Amounts(0, 7, 0))
    for ask in (
        lambda: limits.totals.take("a", LIMITS, 0),
        lambda: limits.totals.look("a"),
        lambda: limits.token_rates.look("k", 100),
    ):
        with pytest.raises(RelayError) as refusal:
            ask()
        assert refusal.value.code == "store_unavailable"
    back(limits)
    assert limits.totals.look("a") == Amounts(0, 7, 0)


def test_what_to_do_can_be_changed_while_it_is_away(shared: Open) -> None:
    limits = shared("deny")
    away(limits)
    limits.fall_back("local")
    assert limits.totals.take("a", LIMITS, 0) == ""
    assert limits.token_rates.look("k", 100).allowed
