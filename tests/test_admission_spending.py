"""Admission of who has limits on tokens and money: the order of what is taken, and what becomes of it."""

import pytest

from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.stores.rates import MemoryRates, RateState
from relay.stores.slots import MemorySlots
from relay.stores.token_rates import MemoryTokenRates
from tests.test_admission import KEY, Asked, Spending, Told, caller, gate_of, refusal

STATE = RateState(True, 60, 41, 12.3456)
TOKENS = RateState(True, 1000, 7, 60.4)


def test_what_is_held_is_settled_when_the_request_has_ended_and_before_its_slot_is_free() -> None:
    slots, spending, asked = MemorySlots(), Spending(), Asked()

    class Watching(Spending):
        def settle(self, told: object) -> None:
            spending.notes.append(f"{told}, {slots.held(KEY)} slot held")

    held = Watching()
    with gate_of(slots, MemoryRates(), held).admit(caller(concurrent=1), asked):
        assert (held.notes, asked.held) == (["held"], held)
        assert spending.notes == []
    assert spending.notes == ["its record, 1 slot held"]
    assert slots.held(KEY) == 0


def test_a_request_that_fails_is_settled_too() -> None:
    spending = Spending()
    with pytest.raises(KeyError), gate_of(MemorySlots(), MemoryRates(), spending).admit(caller(), Asked()):
        raise KeyError
    assert spending.notes == ["held", "settled by its record"]


def test_what_spending_refuses_hits_no_rate_and_holds_no_slot() -> None:
    slots, rates = MemorySlots(), Told(STATE)
    spending = Spending(RelayError("insufficient_quota", "no"))
    assert refusal(gate_of(slots, rates, spending), caller(rpm=60, concurrent=1)).code == "insufficient_quota"
    assert (rates.hits, slots.held(KEY)) == (0, 0)


def test_what_the_rate_refuses_is_given_back_and_never_settled() -> None:
    spending = Spending()
    refusal(gate_of(MemorySlots(), Told(RateState(False, 60, 0, 9.0)), spending), caller(rpm=60))
    assert spending.notes == ["held", "given back"]


def test_a_rate_that_cannot_be_asked_gives_back_too() -> None:
    class Denying(Told):
        def hit(self, key_id: str, per_minute: int) -> RateState:
            raise RelayError("store_unavailable", "away")

    spending = Spending()
    refusal(gate_of(MemorySlots(), Denying(STATE), spending), caller(rpm=60))
    assert spending.notes == ["held", "given back"]


def test_both_limits_are_told_in_the_headers_of_both_kinds() -> None:
    asked = Asked()
    with gate_of(MemorySlots(), Told(STATE), Spending(token_state=TOKENS)).admit(caller(rpm=60), asked):
        pass
    assert asked.header("x-ratelimit-remaining-tokens") == "7"
    assert asked.header("x-ratelimit-reset-tokens") == "60.400s"
    assert asked.limit_headers[-2:] == [
        ("RateLimit-Policy", '"requests";q=60;w=60, "tokens";q=1000;w=60'),
        ("RateLimit", '"requests";r=41;t=13, "tokens";r=7;t=60'),
    ]


def test_tokens_alone_are_told_alone() -> None:
    asked = Asked()
    with gate_of(MemorySlots(), Told(STATE), Spending(token_state=TOKENS)).admit(caller(), asked):
        pass
    assert asked.header("RateLimit") == '"tokens";r=7;t=60'


def test_a_refused_request_is_told_its_tokens_too_if_they_can_be_asked() -> None:
    class Away(MemoryTokenRates):
        def look(self, key_id: str, per_minute: int) -> RateState:
            raise RelayError("store_unavailable", "away")

    who = caller(rpm=60)
    limited = type(who)(who.key_id, KeyPolicy(rpm=60, tpm=100))
    for token_rates, told in ((MemoryTokenRates(), "100"), (Away(), None)):
        asked = Asked()
        gate_of(MemorySlots(), MemoryRates(), None, token_rates).show(limited, asked)
        assert dict(asked.limit_headers).get("x-ratelimit-remaining-tokens") == told
        assert asked.header("x-ratelimit-remaining-requests") == "60"
