"""Tokens per minute and totals of tokens: the same promises in memory and in Redis."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from relay.core.spending import Amounts, nano
from relay.core.tokens import NO_LIMITS, TokenLimits
from relay.stores.shared import Limits, TokenRates, Totals
from tests.stores.test_slot_twins import ODD_IDS

SEED = 20_261_121
THREADS, TRIES = 8, 20


@pytest.fixture
def rates(limits: Limits) -> TokenRates:
    return limits.token_rates


@pytest.fixture
def totals(limits: Limits) -> Totals:
    return limits.totals


def test_what_was_charged_is_used(rates: TokenRates) -> None:
    assert rates.look("a", 100).remaining == 100
    assert rates.look("a", 100).reset_seconds == 0
    for tokens, left in ((60, 40), (30, 10), (10, 0), (500, 0)):
        rates.charge("a", tokens)
        state = rates.look("a", 100)
        assert (state.limit, state.remaining, state.allowed) == (100, left, left > 0)
        assert 59 < state.reset_seconds <= 61


def test_other_limits_see_the_same_tokens(rates: TokenRates) -> None:
    rates.charge("a", 10**9)
    assert rates.look("a", 10**9 + 1).remaining == 1
    assert not rates.look("a", 10**9).allowed


@pytest.mark.parametrize("key_id", ODD_IDS, ids=lambda key_id: ascii(key_id[:12]))
def test_any_id_is_an_id(rates: TokenRates, totals: Totals, key_id: str) -> None:
    rates.charge(key_id, 5)
    totals.add(key_id, Amounts(1, 2, 3))
    assert rates.look(key_id, 9).remaining == 4
    assert totals.look(key_id) == Amounts(1, 2, 3)
    assert rates.look("b", 9).remaining == 9
    assert totals.look("b") == Amounts()


def test_requests_are_counted_until_they_are_used_up(totals: Totals) -> None:
    limits = TokenLimits(requests=3)
    assert [totals.take("a", limits, 0) for _ in range(5)] == ["", "", "", "requests", "requests"]
    assert totals.look("a") == Amounts(3, 0, 0)
    totals.add("a", Amounts(-1, 0, 0))
    assert [totals.take("a", limits, 0) for _ in range(2)] == ["", "requests"]


def test_tokens_are_tested_and_never_taken_before_they_are_known(totals: Totals) -> None:
    limits = TokenLimits(tokens=100)
    assert totals.take("a", limits, 0) == ""
    totals.add("a", Amounts(0, 99, 0))
    assert totals.take("a", limits, 0) == ""
    totals.add("a", Amounts(0, 1, 0))
    assert totals.take("a", limits, 0) == "tokens"
    assert totals.look("a").requests == 2


def test_cost_is_reserved_to_the_last_nanodollar(totals: Totals) -> None:
    limits = TokenLimits(cost_usd=0.3)
    assert totals.take("a", limits, nano(0.1)) == ""
    assert totals.take("a", limits, nano(0.2) + 1) == "cost_usd"
    assert totals.take("a", limits, nano(0.2)) == ""
    assert totals.take("a", limits, 1) == "cost_usd"
    totals.add("a", Amounts(0, 0, -nano(0.2)))
    assert totals.take("a", limits, nano(0.2)) == ""
    assert totals.look("a") == Amounts(3, 0, nano(0.3))


def test_the_first_limit_that_is_used_up_is_named(totals: Totals) -> None:
    totals.add("a", Amounts(5, 5, 5))
    every = TokenLimits(requests=5, tokens=5, cost_usd=0.000000005)
    assert totals.take("a", every, 1) == "requests"
    assert totals.take("a", TokenLimits(requests=6, tokens=5, cost_usd=0.000000005), 1) == "tokens"
    assert totals.take("a", TokenLimits(requests=6, tokens=6, cost_usd=0.000000005), 1) == "cost_usd"
    assert totals.take("a", NO_LIMITS, 10**12) == ""


def test_tokens_of_two_keys_with_the_same_id_are_two(totals: Totals) -> None:
    limits = TokenLimits(requests=1)
    assert [totals.take(name, limits, 0) for name in ("key_1/tok", "key_2/tok", "key_1/tok")] == ["", "", "requests"]


def test_of_many_at_once_exactly_as_many_pass_as_may(totals: Totals) -> None:
    limits = TokenLimits(requests=50, cost_usd=0.00000003)
    dice = random.Random(SEED)

    def attempts(seed: int) -> int:
        coin = random.Random(seed)
        return sum(totals.take("a", limits, coin.choice([0, 1])) == "" for _ in range(TRIES))

    with ThreadPoolExecutor(THREADS) as threads:
        passed = sum(threads.map(attempts, [dice.getrandbits(32) for _ in range(THREADS)]))
    total = totals.look("a")
    assert passed == total.requests <= 50
    assert total.nano_usd <= 30
    assert passed == 50 or total.nano_usd == 30
