"""Slots: as many as are allowed, each given back once, and nothing remembered of a key that holds none."""

from hypothesis import given
from hypothesis import strategies as st

from relay.stores.slots import MemorySlots


def test_a_key_gets_as_many_slots_as_it_may_have() -> None:
    slots = MemorySlots()
    assert [slots.acquire("a", 2) for _ in range(4)] == [True, True, False, False]
    assert slots.held("a") == 2


def test_a_slot_given_back_can_be_taken_again() -> None:
    slots = MemorySlots()
    slots.acquire("a", 1)
    slots.release("a")
    assert (slots.held("a"), slots.acquire("a", 1), slots.acquire("a", 1)) == (0, True, False)


def test_keys_do_not_share_slots() -> None:
    slots = MemorySlots()
    assert slots.acquire("a", 1)
    assert slots.acquire("b", 1)
    slots.release("a")
    assert (slots.held("a"), slots.held("b")) == (0, 1)


def test_zero_is_no_limit_and_is_counted_all_the_same() -> None:
    slots = MemorySlots()
    assert all(slots.acquire("a", 0) for _ in range(1000))
    assert slots.held("a") == 1000
    assert not slots.acquire("a", 5)


def test_a_limit_that_was_lowered_meanwhile_refuses_until_enough_were_given_back() -> None:
    slots = MemorySlots()
    for _ in range(3):
        slots.acquire("a", 3)
    assert not slots.acquire("a", 2)
    slots.release("a")
    slots.release("a")
    assert slots.acquire("a", 2)


def test_a_key_that_holds_nothing_takes_no_memory() -> None:
    slots = MemorySlots()
    for number in range(100):
        slots.acquire(f"key_{number}", 1)
        slots.release(f"key_{number}")
        slots.held(f"other_{number}")
        slots.acquire(f"full_{number}", 1)
        slots.acquire(f"full_{number}", 1)
        slots.release(f"full_{number}")
    assert not slots._held


def test_one_release_too_many_gives_nobody_a_slot_too_many() -> None:
    slots = MemorySlots()
    slots.release("a")
    assert [slots.acquire("a", 1) for _ in range(2)] == [True, False]


@given(st.lists(st.booleans()), st.integers(1, 4))
def test_never_more_than_the_limit_and_never_less_than_none(steps: list[bool], slots_max: int) -> None:
    slots, expected = MemorySlots(), 0
    for taking in steps:
        if taking:
            assert slots.acquire("a", slots_max) == (expected < slots_max)
            expected = min(expected + 1, slots_max)
        elif expected:
            slots.release("a")
            expected -= 1
        assert slots.held("a") == expected
