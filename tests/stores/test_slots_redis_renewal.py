"""Slots in Redis: what a renewal puts right, and what happens to a slot while Redis is asked about it."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from relay.stores import slots_redis
from relay.stores.redis_link import RedisLink, StoreDown
from relay.stores.redis_wire import Command
from relay.stores.slots_redis import LEASE_SECONDS, RedisSlots
from tests.stores.conftest import PATIENT_SECONDS, no_failure, take
from tests.stores.redis_server import RedisServer


class Watched(RedisLink):
    """A link that remembers what it was asked. `before` and `after`: what to do then, once."""

    def __init__(self, url: str) -> None:
        super().__init__(url, no_failure, PATIENT_SECONDS)
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
def link(redis: RedisServer) -> Iterator[Watched]:
    watched = Watched(redis.url)
    watched.mend()
    yield watched
    watched.close()


@pytest.fixture
def slots(link: Watched) -> RedisSlots:
    return RedisSlots(link)


@pytest.fixture
def others(other_link: RedisLink) -> RedisSlots:
    return RedisSlots(other_link)


def test_what_redis_forgot_is_entered_again(slots: RedisSlots, others: RedisSlots, redis: RedisServer) -> None:
    leases = [take(slots, slots_max=2), take(slots, slots_max=2)]
    redis.client.flushall()
    slots.renew()
    assert others.acquire("a", 2) is None
    for lease in leases:
        slots.release("a", lease)
    assert others.held("a") == 0


def test_the_set_of_a_key_lasts_as_long_as_its_leases(slots: RedisSlots, redis: RedisServer) -> None:
    take(slots)
    redis.client.pexpire("relay:slots:a", 5000)
    slots.renew()
    assert 5000 < redis.client.pttl("relay:slots:a") <= LEASE_SECONDS * 1000
    redis.client.flushall()
    slots.renew()
    assert 5000 < redis.client.pttl("relay:slots:a") <= LEASE_SECONDS * 1000


def test_a_slot_given_back_during_the_renewal_stays_given_back(slots: RedisSlots, link: Watched) -> None:
    lease = take(slots, slots_max=1)
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


def test_a_slot_whose_answer_was_lost_is_given_back(slots: RedisSlots, link: Watched, others: RedisSlots) -> None:
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
    lease = take(slots, slots_max=2)
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
    lease = take(others, slots_max=1)
    mine = slots.mine.acquire("a", 1)
    slots.renew()
    assert others.held("a") == 2
    others.release("a", lease)
    assert others.acquire("a", 1) is None
    assert mine is not None
    slots.release("a", mine)
    take(others, slots_max=1)


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
