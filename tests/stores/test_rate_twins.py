"""Rates: the same promises in memory and in Redis."""

import time

import pytest

from relay.stores.rates import RateState
from relay.stores.shared import Limits, Rates
from tests.stores.test_slot_twins import ODD_IDS

WINDOW_SECONDS = 1
# How far two clocks on one machine, read one after the other, are apart; and what Lua leaves of a time.
CLOCKS_APART_SECONDS = 0.01


@pytest.fixture
def rates(limits: Limits) -> Rates:
    return limits.rates


@pytest.fixture
def short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.stores.rates.WINDOW_SECONDS", WINDOW_SECONDS)
    monkeypatch.setattr("relay.stores.rates_redis.WINDOW_SECONDS", WINDOW_SECONDS)


def outline(state: RateState) -> tuple[bool, int, int]:
    return state.allowed, state.limit, state.remaining


def test_the_state_tells_what_remains_and_when_the_oldest_leaves(rates: Rates) -> None:
    begun = time.monotonic()
    states = [rates.hit("a", 3) for _ in range(4)]
    passed = time.monotonic() - begun
    assert [outline(state) for state in states] == [(True, 3, 2), (True, 3, 1), (True, 3, 0), (False, 3, 0)]
    assert 60 - CLOCKS_APART_SECONDS <= states[0].reset_seconds <= 60
    assert 60 - passed - CLOCKS_APART_SECONDS <= states[3].reset_seconds <= 60


def test_exactly_as_many_pass_as_may(rates: Rates) -> None:
    assert [rates.hit("a", 60).allowed for _ in range(100)] == [True] * 60 + [False] * 40


def test_a_look_counts_nothing(rates: Rates) -> None:
    assert [outline(rates.look("a", 2)) for _ in range(5)] == [(True, 2, 2)] * 5
    assert rates.look("a", 2).reset_seconds == 0
    states = [rates.hit("a", 2), rates.look("a", 2), rates.hit("a", 2), rates.look("a", 2), rates.hit("a", 2)]
    assert [outline(state) for state in states] == [
        (True, 2, 1),
        (True, 2, 1),
        (True, 2, 0),
        (False, 2, 0),
        (False, 2, 0),
    ]
    assert 60 - 1 <= rates.look("a", 2).reset_seconds <= 60
    assert outline(rates.look("a", 1)) == (False, 1, 0)


def test_keys_do_not_share_a_window(rates: Rates) -> None:
    assert rates.hit("a", 1).allowed
    assert rates.hit("b", 1).allowed
    assert not rates.hit("a", 1).allowed


@pytest.mark.parametrize("key_id", ODD_IDS, ids=range(len(ODD_IDS)))
def test_any_text_is_a_key(rates: Rates, key_id: str) -> None:
    assert rates.hit("a", 2).allowed
    assert [rates.hit(key_id, 1).allowed, rates.hit(key_id, 1).allowed] == [True, False]
    assert outline(rates.hit("a", 2)) == (True, 2, 0)


def test_a_limit_that_was_raised_counts_what_passed_before(rates: Rates) -> None:
    assert [rates.hit("a", 2).allowed for _ in range(3)] == [True, True, False]
    assert [rates.hit("a", 4).allowed for _ in range(3)] == [True, True, False]


def test_a_limit_that_was_lowered_counts_what_passed_before(rates: Rates) -> None:
    assert all(rates.hit("a", 10).allowed for _ in range(5))
    assert outline(rates.hit("a", 3)) == (False, 3, 0)
    assert outline(rates.hit("a", 10)) == (True, 10, 4)


def test_two_stores_and_one_key_share_nothing_but_what_is_meant_to_be_shared(limits: Limits) -> None:
    lease = limits.slots.acquire("a", 1)
    assert lease is not None
    assert limits.rates.hit("a", 1).allowed
    assert limits.slots.release("a", lease)
    assert not limits.rates.hit("a", 1).allowed


@pytest.mark.usefixtures("short_window")
def test_no_window_at_any_time_holds_more_than_is_allowed(rates: Rates) -> None:
    """Asked all the time for 3.5 windows: what passes is as much as may, and never more within any window."""
    passed, end = list[tuple[float, float]](), time.monotonic() + 3.5
    while time.monotonic() < end:
        asked_at = time.monotonic()
        if rates.hit("a", 5).allowed:
            passed.append((asked_at, time.monotonic()))
        time.sleep(0.002)
    assert 15 <= len(passed) <= 20
    for (asked_at, _), (_, answered_at) in zip(passed, passed[5:], strict=False):
        assert answered_at - asked_at >= WINDOW_SECONDS


@pytest.mark.usefixtures("short_window")
def test_refused_requests_do_not_prolong_the_wait(rates: Rates) -> None:
    assert rates.hit("a", 1).allowed
    refused, asked_until = 0, time.monotonic() + 3
    while not (state := rates.hit("a", 1)).allowed:
        refused += 1
        assert state.reset_seconds <= WINDOW_SECONDS
        assert time.monotonic() < asked_until
        time.sleep(0.05)
    assert refused >= 10


@pytest.mark.usefixtures("short_window")
def test_after_the_time_that_it_tells_the_next_request_passes(rates: Rates) -> None:
    begun = time.monotonic()
    rates.hit("a", 2)
    time.sleep(0.3)
    rates.hit("a", 2)
    state = rates.hit("a", 2)
    passed = time.monotonic() - begun
    assert not state.allowed
    assert 1 - passed - CLOCKS_APART_SECONDS <= state.reset_seconds <= 0.7 + CLOCKS_APART_SECONDS
    time.sleep(state.reset_seconds + CLOCKS_APART_SECONDS)
    assert outline(rates.hit("a", 2)) == (True, 2, 0)


@pytest.mark.usefixtures("short_window")
def test_what_left_the_window_is_not_counted(rates: Rates) -> None:
    assert [outline(rates.hit("a", 5)) for _ in range(2)] == [(True, 5, 4), (True, 5, 3)]
    time.sleep(WINDOW_SECONDS * 0.6)
    assert outline(rates.hit("a", 5)) == (True, 5, 2)
    time.sleep(WINDOW_SECONDS * 0.5)
    state = rates.hit("a", 5)
    assert outline(state) == (True, 5, 3)
    assert 0 < state.reset_seconds <= WINDOW_SECONDS / 2 + CLOCKS_APART_SECONDS
