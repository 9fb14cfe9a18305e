"""Admission in two steps: counted when a task is posted, admitted when its turn comes."""

import pytest

from relay.core.errors import RelayError
from relay.stores.rates import MemoryRates
from relay.stores.slots import MemorySlots
from tests.test_admission import KEY, Asked, Spending, caller, gate_of


def test_what_is_counted_first_and_admitted_later_is_counted_once() -> None:
    who, asked, slots = caller(rpm=2, concurrent=1), Asked(), MemorySlots()
    gate = gate_of(slots, MemoryRates())
    gate.hit(who, asked)
    assert (asked.header("x-ratelimit-remaining-requests"), slots.held(KEY)) == ("1", 0)
    for _ in range(3):
        held = gate.try_admit(who, Asked())
        assert held is not None and slots.held(KEY) == 1
        assert gate.try_admit(who, Asked()) is None
        held.close()
        held.close()
        assert slots.held(KEY) == 0
    gate.hit(who, Asked())
    with pytest.raises(RelayError, match="2 requests a minute"):
        gate.hit(who, Asked())


def test_what_is_admitted_later_is_settled_by_its_record_before_its_slot_is_free() -> None:
    spending, asked = Spending(), Asked()
    held = gate_of(MemorySlots(), MemoryRates(), spending).try_admit(caller(), asked)
    assert held is not None and asked.held is spending
    held.close()
    assert spending.notes == ["held", "settled by its record"]


def test_where_its_token_has_no_slot_it_waits_and_any_other_refusal_is_told() -> None:
    slots = MemorySlots()
    waiting = gate_of(slots, MemoryRates(), Spending(RelayError("too_many_streams", "of its token")))
    assert waiting.try_admit(caller(), Asked()) is None
    poor = gate_of(slots, MemoryRates(), Spending(RelayError("insufficient_quota", "no money")))
    with pytest.raises(RelayError, match="no money"):
        poor.try_admit(caller(), Asked())
    assert slots.held(KEY) == 0
