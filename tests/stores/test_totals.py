"""Totals in memory: kept long enough, and no longer. See also test_spending_twins.py."""

from relay.core.spending import Amounts
from relay.stores.totals import KEPT_SECONDS, MemoryTotals


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_forgotten_when_nothing_of_it_can_run_any_more() -> None:
    clock = Clock()
    totals = MemoryTotals(clock)
    for number in range(100):
        totals.add(f"tok-{number}", Amounts(1))
    clock.now += KEPT_SECONDS - 1
    totals.add("tok-99", Amounts(1))
    assert totals.look("tok-0") == Amounts(1)
    clock.now += 2
    for _ in range(60):
        totals.add("tok-99", Amounts(1))
    assert list(totals._totals) == ["tok-99"]
    assert totals.look("tok-99") == Amounts(62)
