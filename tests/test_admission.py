"""Admission with the real stores: what a request holds, what a refused one takes, and the headers that tell of it."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.admission import Gate
from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.stores.rates import MemoryRates, RateState
from relay.stores.slots import MemorySlots
from relay.stores.token_rates import MemoryTokenRates

KEY = "key_1"


@dataclass
class Asked:
    """A request, as far as the gate looks."""

    limit_headers: list[tuple[str, str]] = field(default_factory=list)
    held: Any = None
    record: str = "its record"

    def header(self, name: str) -> str:
        return dict(self.limit_headers)[name]


class Told:
    """Rates that say what they are told to, and count how often they were asked."""

    def __init__(self, state: RateState) -> None:
        self.state, self.hits = state, 0

    def hit(self, key_id: str, per_minute: int) -> RateState:
        self.hits += 1
        return self.state


class Spending:
    """Gives what it was given to be held, or refuses; `notes`: what became of it."""

    def __init__(self, refusal: RelayError | None = None, token_state: RateState | None = None) -> None:
        self._refusal, self.token_state = refusal, token_state
        self.notes: list[str] = []

    def hold(self, caller: Caller, request: Any) -> "Spending":
        if self._refusal:
            raise self._refusal
        self.notes.append("held")
        return self

    def give_back(self) -> None:
        self.notes.append("given back")

    def settle(self, told: object) -> None:
        self.notes.append(f"settled by {told}")


def gate_of(slots: Any, rates: Any, spending: Spending | None = None, token_rates: Any = None) -> Gate:
    return Gate(slots, rates, token_rates or MemoryTokenRates(), spending or Spending())


@pytest.fixture
def slots() -> MemorySlots:
    return MemorySlots()


@pytest.fixture
def gate(slots: MemorySlots) -> Gate:
    return gate_of(slots, MemoryRates())


def caller(rpm: int = 0, concurrent: int = 0) -> Caller:
    return Caller(KEY, KeyPolicy(rpm=rpm, concurrent=concurrent))


def refusal(gate: Gate, who: Caller, asked: Asked | None = None) -> RelayError:
    with pytest.raises(RelayError) as caught, gate.admit(who, asked or Asked()):
        pytest.fail("it was admitted")
    return caught.value


def test_a_slot_is_held_as_long_as_the_request_and_no_longer(gate: Gate, slots: MemorySlots) -> None:
    with gate.admit(caller(concurrent=1), Asked()):
        assert slots.held(KEY) == 1
    assert slots.held(KEY) == 0


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_request_that_fails_frees_its_slot(gate: Gate, slots: MemorySlots, kind: type[BaseException]) -> None:
    with pytest.raises(kind), gate.admit(caller(concurrent=1), Asked()):
        raise kind
    assert slots.held(KEY) == 0


def test_one_request_too_many_is_refused_and_may_come_again_in_a_second(gate: Gate, slots: MemorySlots) -> None:
    two = caller(concurrent=2)
    with gate.admit(two, Asked()), gate.admit(two, Asked()):
        error = refusal(gate, two)
        assert slots.held(KEY) == 2
    assert (error.code, error.kind.status) == ("too_many_streams", 429)
    assert ("Retry-After", "1") in error.headers()
    with gate.admit(two, Asked()):
        pass


def test_a_request_refused_for_want_of_a_slot_takes_no_rate() -> None:
    rates = Told(RateState(True, 60, 59, 60.0))
    gate = gate_of(MemorySlots(), rates)
    who = caller(rpm=60, concurrent=1)
    with gate.admit(who, Asked()):
        refusal(gate, who)
    assert rates.hits == 1


def test_a_request_refused_for_its_rate_takes_no_slot_and_no_rate(gate: Gate, slots: MemorySlots) -> None:
    who = caller(rpm=2, concurrent=1)
    for left in ("1", "0"):
        asked = Asked()
        with gate.admit(who, asked):
            assert asked.header("x-ratelimit-remaining-requests") == left
    for _ in range(3):
        asked = Asked()
        error = refusal(gate, who, asked)
        assert asked.header("x-ratelimit-remaining-requests") == "0"
        assert slots.held(KEY) == 0
    assert (error.code, error.kind.status) == ("rate_limit_exceeded", 429)
    assert 59 <= int(dict(error.headers())["Retry-After"]) <= 60


def test_zero_is_no_limit(gate: Gate, slots: MemorySlots) -> None:
    asked = Asked()
    for _ in range(200):
        with gate.admit(caller(), asked), gate.admit(caller(), asked):
            assert slots.held(KEY) == 2
    assert asked.limit_headers == []


def test_one_keys_limits_are_not_anothers(gate: Gate) -> None:
    one = caller(rpm=1, concurrent=1)
    with gate.admit(one, Asked()):
        other = Caller("key_2", one.policy)
        with gate.admit(other, Asked()):
            pass
    assert refusal(gate, one).code == refusal(gate, other).code == "rate_limit_exceeded"


def test_the_headers_are_those_of_the_sdks_and_of_the_draft() -> None:
    asked = Asked()
    with gate_of(MemorySlots(), Told(RateState(True, 60, 41, 12.3456))).admit(caller(rpm=60), asked):
        pass
    assert asked.limit_headers == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "41"),
        ("x-ratelimit-reset-requests", "12.346s"),
        ("RateLimit-Policy", '"requests";q=60;w=60'),
        ("RateLimit", '"requests";r=41;t=13'),
    ]


def test_a_window_that_is_free_at_once_never_reads_as_zero_to_the_sdks() -> None:
    asked = Asked()
    error = refusal(gate_of(MemorySlots(), Told(RateState(False, 60, 0, 0.0))), caller(rpm=60), asked)
    assert asked.header("x-ratelimit-reset-requests") == "0.001s"
    assert dict(error.headers())["Retry-After"] == "1"


class Away(MemorySlots):
    """A store that is away and denies."""

    def acquire(self, key_id: str, slots_max: int) -> str | None:
        raise RelayError("store_unavailable", "away", retry_after_seconds=1.0)


def test_a_store_that_denies_is_a_refusal_and_nothing_is_taken() -> None:
    rates = Told(RateState(True, 60, 59, 60.0))
    error = refusal(gate_of(Away(), rates), caller(rpm=60, concurrent=1))
    assert (error.code, error.kind.status, rates.hits) == ("store_unavailable", 503, 0)
    assert ("Retry-After", "1") in error.headers()


def test_a_store_that_denies_the_rate_gives_the_slot_back(slots: MemorySlots) -> None:
    class Denying(Told):
        def hit(self, key_id: str, per_minute: int) -> RateState:
            raise RelayError("store_unavailable", "away")

    assert refusal(gate_of(slots, Denying(RateState(True, 1, 0, 1.0))), caller(rpm=1)).code == "store_unavailable"
    assert slots.held(KEY) == 0


def test_each_request_gives_back_the_lease_that_it_got() -> None:
    given, returned = iter(["one", "two"]), []

    class Leasing(MemorySlots):
        def acquire(self, key_id: str, slots_max: int) -> str | None:
            return next(given)

        def release(self, key_id: str, lease: str) -> bool:
            returned.append((key_id, lease))
            return True

    gate = gate_of(Leasing(), MemoryRates())
    with gate.admit(caller(), Asked()), gate.admit(caller(), Asked()):
        assert returned == []
    assert returned == [(KEY, "two"), (KEY, "one")]


def test_a_refused_request_is_told_its_limits_and_takes_nothing(gate: Gate) -> None:
    asked = Asked()
    for _ in range(3):
        asked = Asked()
        gate.show(caller(rpm=60), asked)
    assert asked.header("x-ratelimit-remaining-requests") == "60"


def test_what_was_told_at_the_hit_is_not_told_twice(gate: Gate) -> None:
    asked = Asked()
    with gate.admit(caller(rpm=60), asked):
        gate.show(caller(rpm=60), asked)
    assert [name for name, _ in asked.limit_headers].count("RateLimit") == 1
    assert asked.header("x-ratelimit-remaining-requests") == "59"


def test_a_key_without_a_rate_is_told_none(gate: Gate) -> None:
    asked = Asked()
    gate.show(caller(), asked)
    assert asked.limit_headers == []
