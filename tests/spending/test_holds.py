"""What one request holds: given back or settled once, whatever happens, and extended while there is something left."""

from dataclasses import dataclass

import pytest

from relay.core.spending import Amounts, Charge, Estimate
from relay.core.tokens import TokenLimits
from relay.core.usage import Usage
from relay.spending.holds import FRAMES_SLACK, BudgetHold, Held, RateHold, SlotHold, TotalsHold, Unsettled
from relay.stores.budgets import Account
from relay.stores.database import StoreError
from relay.stores.slots import MemorySlots
from relay.stores.token_rates import MemoryTokenRates
from relay.stores.totals import MemoryTotals

ACCOUNT = Account("key_1", "2027-01", 1_000)
OUTPUT_TOKENS = 100


@dataclass(frozen=True)
class Price:
    input: float = 0.001
    output: float = 0.001


@dataclass
class Told:
    usage: Usage | None = None
    error: str | None = None
    upstream_status: int | None = 200
    sent_at: float = 1.0
    frames_out: int = 0
    bytes_out: int = 0


class Budgets:
    """A budget that takes down what it is told; `failing`: it cannot be reached; `room`: what may be extended."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []
        self.failing, self.room = False, 10**9

    def settle(self, account: Account, reservation_id: str, spent: int, estimated: int) -> None:
        if self.failing:
            raise StoreError("away")
        self.told.append((reservation_id, spent, estimated))

    def extend(self, account: Account, reservation_id: str, amount: int, now: float) -> bool:
        self.room -= amount
        return self.room >= 0


@pytest.fixture
def budgets() -> Budgets:
    return Budgets()


@pytest.fixture
def unsettled(budgets: Budgets) -> Unsettled:
    return Unsettled(budgets)  # type: ignore[arg-type]


def held_with(*holds: object) -> Held:
    held = Held(Estimate(10, OUTPUT_TOKENS), Price())
    for hold in holds:
        held.add(hold)  # type: ignore[arg-type]
    return held


def test_all_is_settled_once(unsettled: Unsettled, budgets: Budgets) -> None:
    slots, rates, totals = MemorySlots(), MemoryTokenRates(), MemoryTotals()
    limits = TokenLimits(requests=9, cost_usd=0.1)
    lease = slots.acquire("tok", 1) or ""
    totals.take("tok", limits, 110)
    held = held_with(
        SlotHold(slots, "tok", lease),
        RateHold(rates, "key_1"),
        TotalsHold(totals, "tok", limits, 110),
        BudgetHold(unsettled, ACCOUNT, "r1"),
    )
    for _ in range(2):
        held.settle(Told(Usage(20, 30)))
        held.give_back()
    assert slots.held("tok") == 0
    assert rates.look("key_1", 100).remaining == 50
    assert totals.look("tok") == Amounts(1, 50, 50)
    assert budgets.told == [("r1", 50, 0)]


def test_what_is_given_back_was_never_taken(unsettled: Unsettled, budgets: Budgets) -> None:
    slots, totals, limits = MemorySlots(), MemoryTotals(), TokenLimits(requests=1, cost_usd=0.1)
    lease = slots.acquire("tok", 1) or ""
    totals.take("tok", limits, 110)
    held = held_with(
        SlotHold(slots, "tok", lease), TotalsHold(totals, "tok", limits, 110), BudgetHold(unsettled, ACCOUNT, "r1")
    )
    for _ in range(2):
        held.give_back()
        held.settle(Told(Usage(20, 30)))
    assert (slots.held("tok"), totals.look("tok")) == (0, Amounts())
    assert budgets.told == [("r1", 0, 0)]


def test_a_total_without_a_limit_on_cost_keeps_none(unsettled: Unsettled) -> None:
    totals, limits = MemoryTotals(), TokenLimits(tokens=100)
    totals.take("tok", limits, 0)
    held_with(TotalsHold(totals, "tok", limits, 0)).settle(Told(Usage(20, 30)))
    assert totals.look("tok") == Amounts(1, 50, 0)


def test_nothing_is_charged_where_nothing_is_billed() -> None:
    rates, held = MemoryTokenRates(), Held()
    held.add(RateHold(rates, "key_1"))
    held.settle(Told(bytes_out=10_000, frames_out=99))
    assert rates.look("key_1", 100).remaining == 100


def test_what_a_database_does_not_take_waits_in_order_until_it_does(unsettled: Unsettled, budgets: Budgets) -> None:
    budgets.failing = True
    for number in range(3):
        held_with(BudgetHold(unsettled, ACCOUNT, f"r{number}")).settle(Told(Usage(number, 0)))
    with pytest.raises(StoreError):
        unsettled.retry()
    budgets.failing = False
    unsettled.retry()
    unsettled.retry()
    assert budgets.told == [("r0", 0, 0), ("r1", 1, 0), ("r2", 2, 0)]


def test_a_stream_within_its_reservation_asks_nobody(unsettled: Unsettled, budgets: Budgets) -> None:
    held, before = held_with(BudgetHold(unsettled, ACCOUNT, "r1")), budgets.room
    assert held.covers(OUTPUT_TOKENS + FRAMES_SLACK)
    assert budgets.room == before


def test_a_stream_beyond_it_reserves_more_until_there_is_none(unsettled: Unsettled, budgets: Budgets) -> None:
    budgets.room = 2_100
    held = held_with(BudgetHold(unsettled, ACCOUNT, "r1"))
    assert held.covers(OUTPUT_TOKENS + FRAMES_SLACK + 1)
    assert budgets.room == 2_100 - 1_024
    assert held.covers(OUTPUT_TOKENS + FRAMES_SLACK + 1_024)
    assert budgets.room == 2_100 - 1_024
    assert held.covers(OUTPUT_TOKENS + FRAMES_SLACK + 2_048)
    assert not held.covers(OUTPUT_TOKENS + FRAMES_SLACK + 2_049)


def test_a_tokens_cost_is_extended_and_given_back_when_it_was_less() -> None:
    totals, limits = MemoryTotals(), TokenLimits(cost_usd=0.000001300)
    totals.take("tok", limits, 110)
    held = held_with(TotalsHold(totals, "tok", limits, 110))
    assert held.covers(500)
    assert totals.look("tok").nano_usd == 110 + 1_024
    assert not held.covers(1_500)
    held.settle(Told(Usage(10, 1_140)))
    assert totals.look("tok") == Amounts(1, 1_150, 1_150)


def test_without_a_limit_on_cost_a_stream_may_be_as_long_as_it_likes() -> None:
    assert Held(Estimate(10, 1)).covers(10**9)
    assert Held().covers(10**9)


def test_a_charge_of_nothing_is_not_told() -> None:
    rates = MemoryTokenRates()
    RateHold(rates, "key_1").settle(Charge())
    assert not rates._windows
