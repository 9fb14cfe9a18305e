"""Slots: the same promises in memory and in Redis."""

import random

import pytest

from relay.stores.shared import Limits, Slots
from tests.stores.conftest import take

ODD_IDS = ["a/b", "a/b/60/1/minute", "*", "{a}", "ключ", "a b\r\nDEL x", "x" * 5000, ""]


@pytest.fixture
def slots(limits: Limits) -> Slots:
    return limits.slots


def test_a_key_gets_as_many_slots_as_it_may_have(slots: Slots) -> None:
    assert [slots.acquire("a", 2) is not None for _ in range(4)] == [True, True, False, False]
    assert slots.held("a") == 2


def test_a_slot_given_back_can_be_taken_again(slots: Slots) -> None:
    assert slots.release("a", take(slots, "a", 1))
    assert slots.held("a") == 0
    take(slots, "a", 1)
    assert slots.acquire("a", 1) is None


def test_keys_do_not_share_slots(slots: Slots) -> None:
    one = take(slots, "a", 1)
    take(slots, "b", 1)
    slots.release("a", one)
    assert (slots.held("a"), slots.held("b")) == (0, 1)


def test_zero_is_no_limit_and_is_counted_all_the_same(slots: Slots) -> None:
    leases = [take(slots, "a", 0) for _ in range(300)]
    assert slots.held("a") == len(set(leases)) == 300
    assert slots.acquire("a", 5) is None
    assert all(slots.release("a", lease) for lease in leases)
    assert slots.held("a") == 0


def test_a_limit_that_was_lowered_meanwhile_refuses_until_enough_were_given_back(slots: Slots) -> None:
    leases = [take(slots, "a", 3) for _ in range(3)]
    assert slots.acquire("a", 2) is None
    slots.release("a", leases[0])
    assert slots.acquire("a", 2) is None
    slots.release("a", leases[1])
    take(slots, "a", 2)


def test_a_second_release_of_the_same_lease_frees_nobody_elses_slot(slots: Slots) -> None:
    one, _ = take(slots, "a", 2), take(slots, "a", 2)
    assert [slots.release("a", one), slots.release("a", one)] == [True, False]
    assert slots.held("a") == 1
    take(slots, "a", 2)
    assert not slots.release("a", one)
    assert slots.acquire("a", 2) is None


def test_a_lease_that_nobody_was_given_frees_nothing(slots: Slots) -> None:
    lease = take(slots, "a", 1)
    assert [slots.release("a", "unknown"), slots.release("b", lease), slots.release("b", "")] == [False, False, False]
    assert (slots.held("a"), slots.held("b")) == (1, 0)


@pytest.mark.parametrize("key_id", ODD_IDS, ids=range(len(ODD_IDS)))
def test_any_text_is_a_key(slots: Slots, key_id: str) -> None:
    take(slots, "a", 1)
    lease = take(slots, key_id, 1)
    assert slots.acquire(key_id, 1) is None
    assert (slots.held(key_id), slots.held("a")) == (1, 1)
    slots.release(key_id, lease)
    assert (slots.held(key_id), slots.held("a")) == (0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_never_more_than_the_limit_and_each_lease_gives_back_once(slots: Slots, seed: int) -> None:
    """Against the simplest that could be right."""
    dice, given, held = random.Random(seed), list[str](), set[str]()
    slots_max = dice.randint(1, 4)
    for _ in range(150):
        if dice.random() < 0.5 or not given:
            lease = slots.acquire("a", slots_max)
            assert (lease is not None) == (len(held) < slots_max)
            if lease is not None:
                given.append(lease)
                held.add(lease)
        else:
            lease = dice.choice(given)
            assert slots.release("a", lease) == (lease in held)
            held.discard(lease)
        assert slots.held("a") == len(held)
