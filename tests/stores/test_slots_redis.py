"""Slots in Redis: leases that expire, are renewed, and are given back once, whatever happened meanwhile."""

import time

import pytest

from relay.stores import slots_redis
from relay.stores.redis_link import RedisLink
from relay.stores.slots_redis import LEASE_SECONDS, RENEW_SECONDS, RedisSlots
from tests.stores.conftest import take
from tests.stores.redis_server import RedisServer

SHORT_LEASE_SECONDS = 0.6


@pytest.fixture
def slots(link: RedisLink) -> RedisSlots:
    return RedisSlots(link)


@pytest.fixture
def others(other_link: RedisLink) -> RedisSlots:
    return RedisSlots(other_link)


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_redis, "LEASE_SECONDS", SHORT_LEASE_SECONDS)


def test_a_killed_process_leaves_no_slot_taken_for_15_seconds() -> None:
    assert LEASE_SECONDS < 15
    assert LEASE_SECONDS > 3 * RENEW_SECONDS


def test_processes_share_the_slots_of_a_key(slots: RedisSlots, others: RedisSlots) -> None:
    lease = take(slots, slots_max=1)
    assert others.acquire("a", 1) is None
    assert slots.held("a") == others.held("a") == 1
    slots.release("a", lease)
    take(others, slots_max=1)


@pytest.mark.usefixtures("short_lease")
def test_a_lease_that_nobody_renews_expires(slots: RedisSlots, others: RedisSlots, redis: RedisServer) -> None:
    take(slots, slots_max=1)
    assert others.acquire("a", 1) is None
    time.sleep(SHORT_LEASE_SECONDS + 0.05)
    assert others.held("a") == 0
    assert redis.client.keys("relay:slots:*") == []
    take(others, slots_max=1)
    assert others.held("a") == 1


@pytest.mark.usefixtures("short_lease")
def test_expired_leases_of_a_busy_key_are_dropped_one_by_one(slots: RedisSlots, others: RedisSlots) -> None:
    take(others, slots_max=2)
    time.sleep(SHORT_LEASE_SECONDS / 2)
    take(slots, slots_max=2)
    time.sleep(SHORT_LEASE_SECONDS / 2 + 0.05)
    assert slots.held("a") == 1
    take(slots, slots_max=2)
    assert slots.acquire("a", 2) is None


@pytest.mark.usefixtures("short_lease")
def test_a_renewed_lease_lives_as_long_as_its_holder(slots: RedisSlots, others: RedisSlots) -> None:
    lease, end = take(slots, slots_max=1), time.monotonic() + 3 * SHORT_LEASE_SECONDS
    while time.monotonic() < end:
        slots.renew()
        assert others.acquire("a", 1) is None
        time.sleep(SHORT_LEASE_SECONDS / 8)
    slots.release("a", lease)
    take(others, slots_max=1)


@pytest.mark.usefixtures("short_lease")
def test_a_late_release_does_not_free_the_next_holders_slot(slots: RedisSlots, others: RedisSlots) -> None:
    late = take(slots, slots_max=1)
    time.sleep(SHORT_LEASE_SECONDS + 0.05)
    take(others, slots_max=1)
    assert slots.release("a", late)
    assert others.held("a") == 1
    assert slots.acquire("a", 1) is None


def test_after_the_servers_clock_was_set_back_no_lease_lasts_for_hours(
    slots: RedisSlots, others: RedisSlots, redis: RedisServer
) -> None:
    an_hour_ahead = time.time() + 3600 + LEASE_SECONDS
    redis.client.zadd("relay:slots:a", {"of-the-dead": an_hour_ahead * 1000})
    lease = take(slots, slots_max=1)
    redis.client.zadd("relay:slots:a", {lease: an_hour_ahead * 1000})
    slots.renew()
    assert others.acquire("a", 1) is None


def test_after_the_servers_clock_was_set_forward_what_is_held_is_entered_again(
    slots: RedisSlots, others: RedisSlots, redis: RedisServer
) -> None:
    lease = take(slots, slots_max=1)
    redis.client.zadd("relay:slots:a", {lease: (time.time() - 3600) * 1000})
    assert others.held("a") == 0
    slots.renew()
    assert others.acquire("a", 1) is None


def test_the_clock_of_this_process_means_nothing(
    slots: RedisSlots, others: RedisSlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    take(slots, slots_max=1)
    slots.renew()
    assert others.acquire("a", 1) is None
