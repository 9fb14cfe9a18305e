"""Rates in memory: exact in every sliding 60 seconds, on a clock that a test moves. See also test_rate_twins.py."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.stores.rates import MemoryRates, RateState

START = 2_000_000_000.0


class Clock:
    """A clock that a test sets."""

    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> MemoryRates:
    return MemoryRates(clock)


def hit(rates: MemoryRates, clock: Clock, at: float, per_minute: int = 3, key_id: str = "a") -> RateState:
    """One request, `at` seconds after the start."""
    clock.now = START + at
    return rates.hit(key_id, per_minute)


def test_the_state_tells_what_remains_and_when_the_oldest_leaves(rates: MemoryRates, clock: Clock) -> None:
    assert hit(rates, clock, 0) == RateState(True, 3, 2, 60.0)
    assert hit(rates, clock, 10) == RateState(True, 3, 1, 50.0)
    assert hit(rates, clock, 25.5) == RateState(True, 3, 0, 34.5)
    assert hit(rates, clock, 59) == RateState(False, 3, 0, 1.0)
    assert hit(rates, clock, 61) == RateState(True, 3, 0, 9.0)


def test_a_request_is_forgotten_60_seconds_later_and_not_sooner(rates: MemoryRates, clock: Clock) -> None:
    assert hit(rates, clock, 0, 1).allowed
    assert not hit(rates, clock, 59.99, 1).allowed
    assert not hit(rates, clock, 60, 1).allowed
    assert hit(rates, clock, 60.01, 1).allowed
    assert not hit(rates, clock, 119, 1).allowed


def test_no_burst_passes_where_two_minutes_meet(rates: MemoryRates, clock: Clock) -> None:
    assert [hit(rates, clock, 59.5).allowed for _ in range(4)] == [True, True, True, False]
    assert not hit(rates, clock, 60.5).allowed
    assert not hit(rates, clock, 119).allowed


def test_a_refused_request_is_not_counted(rates: MemoryRates, clock: Clock) -> None:
    hit(rates, clock, 0, 1)
    for at in range(1, 60):
        assert not hit(rates, clock, at, 1).allowed
    assert hit(rates, clock, 60.5, 1).allowed


def test_the_wall_clock_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = MemoryRates()
    monkeypatch.setattr("time.time", lambda: START)
    assert rates.hit("a", 1).allowed
    for hours in (1, -1, 24, -24):
        monkeypatch.setattr("time.time", lambda hours=hours: START + 3600 * hours)
        assert not rates.hit("a", 1).allowed


def test_a_key_that_is_not_used_takes_no_memory(rates: MemoryRates, clock: Clock) -> None:
    busy = ["busy", "busy too"]
    for number in range(1000):
        for key_id in busy:
            hit(rates, clock, number / 1000, 10_000, key_id)
        hit(rates, clock, number / 1000, 1, f"key_{number}")
        hit(rates, clock, number / 1000, 1, f"key_{number}")
    for key_id in busy:
        hit(rates, clock, 30, 10_000, key_id)
    for at in range(1000):
        for key_id in busy:
            hit(rates, clock, 61 + at / 1000, 10_000, key_id)
    assert list(rates._windows) == busy
    assert hit(rates, clock, 120, 10_000, "busy").remaining == 10_000 - 1001


def test_a_key_that_was_only_looked_at_takes_no_memory(rates: MemoryRates, clock: Clock) -> None:
    hit(rates, clock, 0, 5, "a")
    clock.now = START + 61
    assert rates.look("a", 5) == RateState(True, 5, 5, 0.0)
    assert rates.look("b", 5) == RateState(True, 5, 5, 0.0)
    hit(rates, clock, 61, 5, "c")
    assert list(rates._windows) == ["c"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from("ab")), max_size=40), st.integers(1, 5))
def test_no_60_seconds_ever_hold_more_than_is_allowed(steps: list[tuple[float, str]], per_minute: int) -> None:
    clock, at, admitted = Clock(), 0.0, {"a": list[float](), "b": list[float]()}
    rates = MemoryRates(clock)
    for wait, key_id in steps:
        at = round(at + wait, 3)
        allowed = hit(rates, clock, at, per_minute, key_id).allowed
        assert allowed == (sum(START + time >= START + at - 60 for time in admitted[key_id]) < per_minute)
        if allowed:
            admitted[key_id].append(at)
