"""Slots in memory; what they share with those in Redis is in test_slot_twins.py."""

from hypothesis import given
from hypothesis import strategies as st

from relay.stores.slots import MemorySlots


def test_a_key_that_holds_nothing_takes_no_memory() -> None:
    slots = MemorySlots()
    for number in range(100):
        lease = slots.acquire(f"key_{number}", 1)
        assert lease is not None
        slots.release(f"key_{number}", lease)
        slots.release(f"key_{number}", lease)
        slots.held(f"other_{number}")
    assert not slots._held


def test_an_adopted_lease_is_held_like_any_other() -> None:
    slots = MemorySlots()
    slots.adopt("a", "elsewhere-1")
    assert slots.acquire("a", 1) is None
    assert slots.leases() == [("a", "elsewhere-1")]
    assert slots.release("a", "elsewhere-1")
    assert slots.leases() == []


def test_no_two_stores_give_the_same_lease() -> None:
    stores = [MemorySlots() for _ in range(20)]
    leases = {store.new_lease() for store in stores for _ in range(20)}
    assert len(leases) == 400


@given(st.lists(st.one_of(st.none(), st.integers(0, 5))), st.integers(1, 4))
def test_never_more_than_the_limit_and_each_lease_gives_back_once(steps: list[int | None], slots_max: int) -> None:
    """None takes a slot; a number gives one back, of those ever given, perhaps for the second time."""
    slots, given_, held = MemorySlots(), list[str](), set[str]()
    for step in steps:
        if step is None:
            lease = slots.acquire("a", slots_max)
            assert (lease is not None) == (len(held) < slots_max)
            if lease is not None:
                given_.append(lease)
                held.add(lease)
        elif given_:
            lease = given_[step % len(given_)]
            assert slots.release("a", lease) == (lease in held)
            held.discard(lease)
        assert slots.held("a") == len(held)
