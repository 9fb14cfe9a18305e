"""Who decides while Redis is away: each process about its share, or nobody; and then Redis again."""

from collections.abc import Callable

import pytest

from relay.core.errors import RelayError
from relay.stores.fallback import Denial, Share, SharedRates, SharedSlots
from relay.stores.rates import RateState
from relay.stores.rates_redis import RedisRates
from relay.stores.redis_link import RedisLink
from relay.stores.slots import MemorySlots
from relay.stores.slots_redis import RedisSlots

PROCESSES = 4


@pytest.fixture
def mine() -> MemorySlots:
    return MemorySlots()


@pytest.fixture
def share(mine: MemorySlots) -> Share:
    return Share(mine, PROCESSES)


@pytest.mark.parametrize(("limit", "expected"), [(60, 15), (7, 1), (5, 1), (4, 1), (3, 1), (1, 1), (8, 2)])
def test_a_share_is_an_equal_part_and_at_least_one(share: Share, limit: int, expected: int) -> None:
    assert [share.acquire("a", limit) is not None for _ in range(20)] == [True] * expected + [False] * (20 - expected)
    assert sum(share.hit("a", limit).allowed for _ in range(20)) == expected


def test_zero_slots_are_no_limit_here_either(share: Share, mine: MemorySlots) -> None:
    assert all(share.acquire("a", 0) for _ in range(100))
    assert mine.held("a") == 100


def test_room_is_what_is_left_of_the_share(share: Share) -> None:
    assert [share.has_room("a", 8), share.has_room("a", 0)] == [True, True]
    for _ in range(2):
        share.acquire("a", 8)
    assert [share.has_room("a", 8), share.has_room("a", 0)] == [False, True]


def test_slots_that_redis_gave_count_towards_the_share(share: Share, mine: MemorySlots) -> None:
    mine.adopt("a", "given-by-redis")
    assert share.acquire("a", 5) is None
    assert mine.release("a", "given-by-redis")
    assert share.acquire("a", 5) is not None


def test_requests_that_redis_let_through_count_towards_the_share(share: Share) -> None:
    for _ in range(10):
        share.note("a", 60)
    assert sum(share.hit("a", 60).allowed for _ in range(60)) == 5


def test_a_process_that_let_through_more_than_its_share_lets_nobody_through(share: Share) -> None:
    for _ in range(60):
        share.note("a", 60)
    assert not share.hit("a", 60).allowed


def test_the_limit_that_is_told_is_the_keys_own(share: Share) -> None:
    state = share.hit("a", 60)
    assert (state.limit, state.remaining) == (60, 14)
    looked = share.look("a", 60)
    assert (looked.allowed, looked.limit, looked.remaining) == (True, 60, 14)


def test_denial_refuses_everything_and_says_when_to_come_again() -> None:
    deeds: list[Callable[[str, int], object]] = [Denial().acquire, Denial().hit, Denial().has_room]
    for deed in deeds:
        with pytest.raises(RelayError) as caught:
            deed("a", 1)
        assert (caught.value.code, caught.value.kind.status) == ("store_unavailable", 503)
        assert ("Retry-After", "1") in caught.value.headers()
        assert "x-should-retry" not in dict(caught.value.headers())
    Denial().note("a", 1)


def test_a_look_at_what_is_denied_tells_that_nothing_is_left() -> None:
    assert Denial().look("a", 60) == RateState(False, 60, 0, 1.0)


class Now:
    """A clock that a test sets."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def slots(link: RedisLink, now: Now) -> SharedSlots:
    redis_slots = RedisSlots(link)
    return SharedSlots(redis_slots, Share(redis_slots.mine, PROCESSES), now)


def test_slots_are_redis_as_long_as_it_answers(slots: SharedSlots) -> None:
    assert [slots.acquire("a", 5) is not None for _ in range(6)] == [True] * 5 + [False]
    assert slots.held("a") == 5


def test_slots_are_the_share_while_redis_is_down(slots: SharedSlots, link: RedisLink) -> None:
    link.close()
    lease = slots.acquire("a", 5)
    assert lease is not None
    assert slots.acquire("a", 5) is None
    assert slots.held("a") == 1
    assert [slots.release("a", lease), slots.release("a", lease)] == [True, False]
    assert slots.held("a") == 0


def test_a_slot_taken_under_one_regime_is_given_back_under_the_other(slots: SharedSlots, link: RedisLink) -> None:
    of_redis = slots.acquire("a", 5)
    link.close()
    of_ours = slots.acquire("b", 5)
    assert of_redis is not None
    assert of_ours is not None
    assert slots.release("a", of_redis)
    link.mend()
    assert slots.release("b", of_ours)
    assert [slots.acquire("b", 2) is not None for _ in range(3)] == [True, True, False]


def test_while_redis_settles_both_must_agree(slots: SharedSlots, link: RedisLink, now: Now) -> None:
    others = RedisSlots(link)
    slots.settled_at = now.seconds + 1
    assert slots.settling
    taken = [others.acquire("full", 5) for _ in range(5)]
    assert None not in taken
    assert slots.acquire("full", 5) is None
    assert [slots.acquire("free", 5) is not None for _ in range(2)] == [True, False]
    now.seconds += 1
    assert not slots.settling
    assert [slots.acquire("free", 5) is not None for _ in range(5)] == [True] * 4 + [False]


def test_while_redis_settles_denial_denies_slots(slots: SharedSlots, now: Now) -> None:
    slots.fallback, slots.settled_at = Denial(), now.seconds + 1
    with pytest.raises(RelayError):
        slots.acquire("a", 5)
    now.seconds += 1
    assert slots.acquire("a", 5) is not None


def test_rates_are_redis_as_long_as_it_answers_and_then_the_rest_of_the_share(link: RedisLink) -> None:
    rates = SharedRates(RedisRates(link), Share(MemorySlots(), PROCESSES))
    assert sum(rates.hit("a", 60).allowed for _ in range(10)) == 10
    link.close()
    assert sum(rates.hit("a", 60).allowed for _ in range(60)) == 5
    assert sum(rates.hit("b", 60).allowed for _ in range(60)) == 15
    link.mend()
    assert sum(rates.hit("a", 60).allowed for _ in range(60)) == 50


def test_a_look_never_fails(link: RedisLink) -> None:
    rates = SharedRates(RedisRates(link), Denial())
    rates.hit("a", 60)
    assert rates.look("a", 60).remaining == 59
    link.close()
    assert rates.look("a", 60).remaining == 0
    rates.fallback = Share(MemorySlots(), PROCESSES)
    assert rates.look("a", 60).remaining == 15


def test_a_request_that_redis_refuses_is_not_noted(link: RedisLink) -> None:
    rates = SharedRates(RedisRates(link), Share(MemorySlots(), 1))
    other = SharedRates(RedisRates(link), Share(MemorySlots(), 1))
    assert sum(other.hit("a", 3).allowed for _ in range(3)) == 3
    assert not rates.hit("a", 3).allowed
    link.close()
    assert sum(rates.hit("a", 3).allowed for _ in range(5)) == 3
