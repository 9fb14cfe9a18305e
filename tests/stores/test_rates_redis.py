"""Rates in Redis: one round trip, the server's clock, and nothing that stays for ever."""

import time

import pytest
from limits.storage import RedisStorage

from relay.stores.rates_redis import RedisRates
from relay.stores.redis_link import RedisLink
from tests.stores.redis_server import RedisServer


@pytest.fixture
def rates(link: RedisLink) -> RedisRates:
    return RedisRates(link)


def test_the_window_is_the_librarys_own(rates: RedisRates) -> None:
    assert RedisStorage.SCRIPT_ACQUIRE_MOVING_WINDOW in rates._hit
    assert RedisStorage.SCRIPT_MOVING_WINDOW in rates._hit
    assert b"[[" not in rates._hit


def test_a_hit_is_one_command(rates: RedisRates, redis: RedisServer) -> None:
    rates.hit("a", 5)
    before = redis.client.info("commandstats")["cmdstat_eval"]["calls"]
    rates.hit("a", 5)
    assert redis.client.info("commandstats")["cmdstat_eval"]["calls"] == before + 1


def test_two_processes_share_a_window(rates: RedisRates, other_link: RedisLink) -> None:
    states = [each.hit("a", 3) for each in (rates, RedisRates(other_link)) * 2]
    assert [(state.allowed, state.remaining) for state in states] == [(True, 2), (True, 1), (True, 0), (False, 0)]


def test_a_window_is_forgotten_with_its_last_request(rates: RedisRates, redis: RedisServer) -> None:
    rates.hit("a", 5)
    assert 50 < redis.client.ttl("relay:rate:a") <= 60


def test_a_window_holds_no_more_entries_than_are_allowed(rates: RedisRates, redis: RedisServer) -> None:
    for _ in range(50):
        rates.hit("a", 7)
    assert redis.client.llen("relay:rate:a") == 7


def test_the_clock_of_this_process_means_nothing(rates: RedisRates, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rates.hit("a", 1).allowed
    for offset in (3600, -3600, 86400, -86400):
        monkeypatch.setattr("time.time", lambda offset=offset: 2_000_000_000.0 + offset)
        state = rates.hit("a", 1)
        assert not state.allowed
        assert 50 < state.reset_seconds <= 60


@pytest.mark.parametrize("ahead_seconds", [3600, 86400, 62])
def test_a_servers_clock_that_was_set_back_does_not_refuse_until_it_is_there_again(
    rates: RedisRates, redis: RedisServer, ahead_seconds: float
) -> None:
    for _ in range(3):
        redis.client.lpush("relay:rate:a", time.time() + ahead_seconds)
    assert [rates.hit("a", 3).allowed for _ in range(4)] == [True, True, True, False]


def test_a_small_correction_of_the_servers_clock_lets_nobody_pass_twice(rates: RedisRates, redis: RedisServer) -> None:
    for _ in range(3):
        redis.client.lpush("relay:rate:a", time.time() + 0.5)
    state = rates.hit("a", 3)
    assert not state.allowed
    assert state.reset_seconds <= 60


def test_a_servers_clock_that_was_set_forward_costs_one_window_at_most(rates: RedisRates, redis: RedisServer) -> None:
    for _ in range(3):
        redis.client.lpush("relay:rate:a", time.time() - 3600)
    assert [rates.hit("a", 3).allowed for _ in range(4)] == [True, True, True, False]


def test_requests_are_told_apart_by_microseconds(rates: RedisRates, redis: RedisServer) -> None:
    for _ in range(20):
        assert rates.hit("a", 20).allowed
    entries = [float(entry) for entry in redis.client.lrange("relay:rate:a", 0, -1)]
    assert len(set(entries)) == 20
    assert entries == sorted(entries, reverse=True)
    assert abs(entries[0] - time.time()) < 5
