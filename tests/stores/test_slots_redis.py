"""Slots in Redis: leases that expire, are renewed, and are given back once, whatever happened meanwhile."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from relay.stores import slots_redis
from relay.stores.redis_link import RedisLink, StoreDown
from relay.stores.redis_wire import Command
from relay.stores.slots_redis import LEASE_SECONDS, RENEW_SECONDS, RedisSlots
from tests.stores.conftest import no_failure
from tests.stores.redis_server import RedisServer

SHORT_LEASE_SECONDS = 0.4


class Watched(RedisLink):
    """A link that remembers what it was asked. `before` and `after`: what to do then, once."""

    def __init__(self, url: str) -> None:
        super().__init__(url, no_failure, 5.0)
        self.asked: list[Sequence[Command]] = []
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None

    def ask(self, *commands: Command) -> list[Any]:
        self.asked.append(commands)
        before, self.before = self.before, lambda: None
        before()
        replies = super().ask(*commands)
        after, self.after = self.after, lambda: None
        after()
        return replies


@pytest.fixture
def link(redis: RedisServer) -> Watched:
    watched = Watched(redis.url)
    watched.mend()
    return watched


@pytest.fixture
def slots(link: Watched) -> RedisSlots:
    return RedisSlots(link)


@pytest.fixture
def others(redis: RedisServer) -> RedisSlots:
    """Another process' slots."""
    link = RedisLink(redis.url, no_failure, 5.0)
    link.mend()
    return RedisSlots(link)


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_redis, "LEASE_SECONDS", SHORT_LEASE_SECONDS)


def take(slots: RedisSlots, slots_max: int = 0) -> str:
    lease = slots.acquire("a", slots_max)
    assert lease is not None
    return lease


def test_a_killed_process_leaves_no_slot_taken_for_15_seconds() -> None:
    assert LEASE_SECONDS < 15
    assert LEASE_SECONDS > 3 * RENEW_SECONDS


def test_processes_share_the_slots_of_a_key(slots: RedisSlots, others: RedisSlots) -> None:
    lease = take(slots, 1)
    assert others.acquire("a", 1) is None
    assert slots.held("a") == others.held("a") == 1
    slots.release("a", lease)
    take(others, 1)


@pytest.mark.usefixtures("short_lease")
def test_a_lease_that_nobody_renews_expires(slots: RedisSlots, others: RedisSlots, redis: RedisServer) -> None:
    take(slots, 1)
    assert others.acquire("a", 1) is None
    time.sleep(SHORT_LEASE_SECONDS + 0.05)
    assert others.held("a") == 0
    assert redis.client.keys("relay:slots:*") == []
    take(others, 1)
    assert others.held("a") == 1


@pytest.mark.usefixtures("short_lease")
def test_expired_leases_of_a_busy_key_are_dropped_one_by_one(slots: RedisSlots, others: RedisSlots) -> None:
    take(others, 2)
    time.sleep(SHORT_LEASE_SECONDS / 2)
    take(slots, 2)
    time.sleep(SHORT_LEASE_SECONDS / 2 + 0.05)
    assert slots.held("a") == 1
    take(slots, 2)
    assert slots.acquire("a", 2) is None


@pytest.mark.usefixtures("short_lease")
def test_a_renewed_lease_lives_as_long_as_its_holder(slots: RedisSlots, others: RedisSlots) -> None:
    lease, end = take(slots, 1), time.monotonic() + 3 * SHORT_LEASE_SECONDS
    while time.monotonic() < end:
        slots.renew()
        assert others.acquire("a", 1) is None
        time.sleep(SHORT_LEASE_SECONDS / 8)
    slots.release("a", lease)
    take(others, 1)


@pytest.mark.usefixtures("short_lease")
def test_a_late_release_does_not_free_the_next_holders_slot(slots: RedisSlots, others: RedisSlots) -> None:
    late = take(slots, 1)
    time.sleep(SHORT_LEASE_SECONDS + 0.05)
    take(others, 1)
    assert slots.release("a", late)
    assert others.held("a") == 1
    assert slots.acquire("a", 1) is None


def test_thousands_of_leases_are_renewed_in_one_round_trip(slots: RedisSlots, link: Watched) -> None:
    for number in range(3000):
        assert slots.acquire(f"key_{number % 7}", 0) is not None
    link.asked.clear()
    begun = time.monotonic()
    slots.renew()
    assert len(link.asked) == 1
    assert time.monotonic() - begun < 1
    assert sum(slots.held(f"key_{number}") for number in range(7)) == 3000


def test_a_process_that_holds_nothing_renews_nothing_and_asks_all_the_same(slots: RedisSlots, link: Watched) -> None:
    slots.renew()
    assert len(link.asked) == 1


def test_what_redis_forgot_is_entered_again(slots: RedisSlots, others: RedisSlots, redis: RedisServer) -> None:
    leases = [take(slots, 2), take(slots, 2)]
    redis.client.flushall()
    slots.renew()
    assert others.acquire("a", 2) is None
    for lease in leases:
        slots.release("a", lease)
    assert others.held("a") == 0


def test_a_slot_given_back_during_the_renewal_stays_given_back(slots: RedisSlots, link: Watched) -> None:
    lease = take(slots, 1)
    link.before = lambda: slots.release("a", lease)
    slots.renew()
    assert slots.held("a") == 0


def test_a_slot_given_back_while_it_is_entered_again_stays_given_back(
    slots: RedisSlots, link: Watched, redis: RedisServer
) -> None:
    lease, kept = take(slots), take(slots)
    redis.client.flushall()

    def forgotten_and_given_back() -> None:
        link.before = lambda: slots.release("a", lease)

    link.after = forgotten_and_given_back
    slots.renew()
    assert slots.held("a") == 1
    slots.release("a", kept)
    assert slots.held("a") == 0


def test_a_slot_given_back_after_its_renewal_found_it_missing_is_not_entered(
    slots: RedisSlots, link: Watched, redis: RedisServer
) -> None:
    lease = take(slots)
    redis.client.flushall()
    link.after = lambda: slots.release("a", lease)
    slots.renew()
    assert slots.held("a") == 0


def test_a_slot_given_back_while_redis_is_down_is_free_when_it_is_back(slots: RedisSlots, link: Watched) -> None:
    lease, other = take(slots), take(slots)
    link.close()
    assert [slots.release("a", lease), slots.release("a", lease)] == [True, False]
    link.mend()
    assert slots.held("a") == 2
    slots.renew()
    assert slots.held("a") == 1
    slots.release("a", other)
    assert slots.held("a") == 0


def test_what_could_not_be_told_at_one_renewal_is_told_at_the_next(slots: RedisSlots, link: Watched) -> None:
    lease = take(slots)
    link.close()
    slots.release("a", lease)
    with pytest.raises(StoreDown):
        slots.renew()
    link.mend()
    slots.renew()
    assert slots.held("a") == 0


def test_a_slot_whose_answer_was_lost_is_given_back(
    slots: RedisSlots, link: Watched, others: RedisSlots
) -> None:
    def lose_the_answer() -> None:
        raise StoreDown(asked=True)

    link.after = lose_the_answer
    with pytest.raises(StoreDown):
        slots.acquire("a", 1)
    assert others.held("a") == 1
    slots.renew()
    assert others.held("a") == 0


def test_a_caller_that_is_killed_while_it_waits_leaves_no_slot_taken(
    slots: RedisSlots, link: Watched, others: RedisSlots
) -> None:
    def kill() -> None:
        raise KeyboardInterrupt

    link.after = kill
    with pytest.raises(KeyboardInterrupt):
        slots.acquire("a", 1)
    lease = take(slots, 2)
    link.after = kill
    with pytest.raises(KeyboardInterrupt):
        slots.release("a", lease)
    slots.renew()
    assert others.held("a") == 0


def test_nothing_is_remembered_of_slots_that_were_never_asked_for(slots: RedisSlots, link: Watched) -> None:
    link.close()
    for _ in range(10):
        with pytest.raises(StoreDown):
            slots.acquire("a", 1)
    assert len(slots._untold) == 0


def test_what_waits_for_redis_is_bounded(slots: RedisSlots, link: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    leases = [slots.mine.acquire("a", 0) for _ in range(slots_redis.UNTOLD_MAX + 10)]
    link.close()
    for lease in leases:
        assert lease is not None
        slots.release("a", lease)
    assert len(slots._untold) == slots_redis.UNTOLD_MAX


def test_slots_taken_while_redis_was_down_are_entered_and_given_back(
    slots: RedisSlots, link: Watched, others: RedisSlots
) -> None:
    link.close()
    mine = slots.mine.acquire("a", 1)
    assert mine is not None
    link.mend()
    slots.renew()
    assert others.acquire("a", 1) is None
    slots.release("a", mine)
    assert others.held("a") == 0


def test_more_slots_than_there_may_be_refuse_until_enough_were_given_back(
    slots: RedisSlots, others: RedisSlots
) -> None:
    lease = take(others, 1)
    mine = slots.mine.acquire("a", 1)
    slots.renew()
    assert others.held("a") == 2
    others.release("a", lease)
    assert others.acquire("a", 1) is None
    assert mine is not None
    slots.release("a", mine)
    take(others, 1)


def test_after_the_servers_clock_was_set_back_no_lease_lasts_for_hours(
    slots: RedisSlots, others: RedisSlots, redis: RedisServer
) -> None:
    an_hour_ahead = time.time() + 3600 + LEASE_SECONDS
    redis.client.zadd("relay:slots:a", {"of-the-dead": an_hour_ahead * 1000})
    lease = take(slots, 1)
    redis.client.zadd("relay:slots:a", {lease: an_hour_ahead * 1000})
    slots.renew()
    assert others.acquire("a", 1) is None


def test_after_the_servers_clock_was_set_forward_what_is_held_is_entered_again(
    slots: RedisSlots, others: RedisSlots, redis: RedisServer
) -> None:
    lease = take(slots, 1)
    redis.client.zadd("relay:slots:a", {lease: (time.time() - 3600) * 1000})
    assert others.held("a") == 0
    slots.renew()
    assert others.acquire("a", 1) is None


def test_the_clock_of_this_process_means_nothing(
    slots: RedisSlots, others: RedisSlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    take(slots, 1)
    slots.renew()
    assert others.acquire("a", 1) is None
