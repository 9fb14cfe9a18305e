"""Rates: exact in every sliding 60 seconds, on a clock that a test moves."""

import limits.storage.memory
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.stores.rates import MemoryRates, RateState

START = 2_000_000_000.0


class Clock:
    """Stands for the module `time` within the library's storage."""

    def __init__(self) -> None:
        self.now = START

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits.storage.memory, "time", clock)
    return clock


def hit(rates: MemoryRates, clock: Clock, at: float, per_minute: int = 3, key_id: str = "a") -> RateState:
    """One request, `at` seconds after the start."""
    clock.now = START + at
    return rates.hit(key_id, per_minute, clock.now)


def test_the_state_tells_what_remains_and_when_the_oldest_leaves(clock: Clock) -> None:
    rates = MemoryRates()
    assert hit(rates, clock, 0) == RateState(True, 3, 2, 60.0)
    assert hit(rates, clock, 10) == RateState(True, 3, 1, 50.0)
    assert hit(rates, clock, 25.5) == RateState(True, 3, 0, 34.5)
    assert hit(rates, clock, 59) == RateState(False, 3, 0, 1.0)


def test_a_request_is_forgotten_60_seconds_later_and_not_sooner(clock: Clock) -> None:
    rates = MemoryRates()
    assert hit(rates, clock, 0, 1).allowed
    assert not hit(rates, clock, 59.99, 1).allowed
    assert hit(rates, clock, 60.01, 1).allowed
    assert not hit(rates, clock, 119, 1).allowed


def test_no_burst_passes_where_two_minutes_meet(clock: Clock) -> None:
    rates = MemoryRates()
    assert [hit(rates, clock, 59.5).allowed for _ in range(4)] == [True, True, True, False]
    assert not hit(rates, clock, 60.5).allowed
    assert not hit(rates, clock, 119).allowed


def test_a_refused_request_is_not_counted(clock: Clock) -> None:
    rates = MemoryRates()
    hit(rates, clock, 0, 1)
    for at in range(1, 60):
        assert not hit(rates, clock, at, 1).allowed
    assert hit(rates, clock, 60.5, 1).allowed


def test_keys_do_not_share_a_window(clock: Clock) -> None:
    rates = MemoryRates()
    assert hit(rates, clock, 0, 1, "a").allowed
    assert hit(rates, clock, 0, 1, "b").allowed
    assert not hit(rates, clock, 1, 1, "a").allowed


def test_two_stores_share_nothing(clock: Clock) -> None:
    assert hit(MemoryRates(), clock, 0, 1).allowed
    assert hit(MemoryRates(), clock, 0, 1).allowed


def test_the_time_to_wait_is_never_negative(clock: Clock) -> None:
    rates = MemoryRates()
    hit(rates, clock, 0, 1)
    clock.now = START + 59
    assert rates.hit("a", 1, START + 90).reset_seconds == 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 40), max_size=30), st.integers(1, 5))
def test_no_60_seconds_ever_hold_more_than_is_allowed(waits: list[float], per_minute: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(limits.storage.memory, "time", clock)
        rates, admitted, at = MemoryRates(), [], 0.0
        for wait in waits:
            at += wait
            expected = sum(time > at - 60 for time in admitted) < per_minute
            allowed = hit(rates, clock, at, per_minute).allowed
            assert allowed == expected or min(abs(at - 60 - time) for time in admitted) < 1e-3
            if allowed:
                admitted.append(at)
        assert all(sum(first <= time < first + 59.999 for time in admitted) <= per_minute for first in admitted)
