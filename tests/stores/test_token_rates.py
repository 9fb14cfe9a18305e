"""Tokens per minute in memory, on a clock that a test moves: never less than a minute, and at most a second more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.stores.token_rates import MemoryTokenRates

START = 2_000_000_000.0
CHARGES = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=60)


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> MemoryTokenRates:
    return MemoryTokenRates(clock)


def test_a_second_leaves_when_all_that_it_may_hold_is_a_minute_old(rates: MemoryTokenRates, clock: Clock) -> None:
    clock.now = START + 0.9
    rates.charge("a", 10)
    for at, left in ((0.9, 0), (60.9, 0), (60.99, 0), (61.0, 10)):
        clock.now = START + at
        assert rates.look("a", 10).remaining == left


def test_what_is_used_up_says_when_something_is_left_again(rates: MemoryTokenRates, clock: Clock) -> None:
    for at, tokens in ((0, 5), (10, 5), (20, 5)):
        clock.now = START + at
        rates.charge("a", tokens)
    assert rates.look("a", 15).reset_seconds == 41
    assert rates.look("a", 10).reset_seconds == 51
    assert rates.look("a", 5).reset_seconds == 61
    assert rates.look("a", 16).reset_seconds == 41
    clock.now = START + 100
    assert (rates.look("a", 5).reset_seconds, rates.look("a", 5).allowed) == (0, True)


@settings(deadline=None)
@given(CHARGES, st.integers(1, 500))
def test_no_minute_has_more_than_its_limit_and_one_charge(charges: list[tuple[float, int]], limit: int) -> None:
    clock = Clock()
    rates, taken = MemoryTokenRates(clock), list[tuple[float, int]]()
    for pause, tokens in charges:
        clock.now += pause
        if rates.look("a", limit).allowed:
            rates.charge("a", tokens)
            taken.append((clock.now, tokens))
    for number, (now, tokens) in enumerate(taken, 1):
        minute = sum(count for at, count in taken[:number] if now - 60 < at)
        assert minute < limit + tokens


def test_a_key_that_is_quiet_is_forgotten(rates: MemoryTokenRates, clock: Clock) -> None:
    for number in range(100):
        rates.charge(f"key-{number}", 1)
    clock.now += 62
    for _ in range(60):
        rates.charge("a", 1)
    assert list(rates._windows) == ["a"]
