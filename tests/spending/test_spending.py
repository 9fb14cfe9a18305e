"""Asking the stores: in their order, and with nothing taken where one of them refuses."""

from dataclasses import dataclass
from typing import Any

import pytest

from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.core.routes import CHAT, MODELS, Route
from relay.core.spending import Amounts
from relay.core.tokens import TokenLimits
from relay.spending.holds import Unsettled
from relay.spending.spending import Spending
from relay.stores.budgets import Account
from relay.stores.shared import MemoryLimits

NAME = "key_1/tok_1"


@dataclass(frozen=True)
class Price:
    input: float = 1.0
    output: float = 1.0


@dataclass
class Asked:
    route: Route = CHAT
    model: str | None = "gpt-test"
    body: Any = b'{"max_tokens":100}'


class Budgets:
    """`fits`: whether anything may be reserved."""

    def __init__(self) -> None:
        self.fits = True
        self.reserved: list[tuple[Account, int]] = []

    def reserve(self, account: Account, amount: int, now: float, expires_at: float) -> str | None:
        assert expires_at - now == 3_600
        self.reserved.append((account, amount))
        return "r1" if self.fits else None

    def settle(self, *told: object) -> None:
        self.reserved.pop()


@pytest.fixture
def limits() -> MemoryLimits:
    return MemoryLimits()


@pytest.fixture
def budgets() -> Budgets:
    return Budgets()


@pytest.fixture
def spending(limits: MemoryLimits, budgets: Budgets) -> Spending:
    unsettled = Unsettled(budgets)  # type: ignore[arg-type]
    return Spending(limits, unsettled, {"gpt-test": Price()}, 3_600)


def caller(policy: KeyPolicy | None = None, **limits: Any) -> Caller:
    return Caller("key_1", policy or KeyPolicy(), "user", "tok_1", ("chat",), (), TokenLimits(**limits))


def refusal(spending: Spending, who: Caller, asked: Asked | None = None) -> tuple[str, str | None]:
    with pytest.raises(RelayError) as caught:
        spending.hold(who, asked or Asked())
    return caught.value.code, caught.value.param


def nothing_taken(limits: MemoryLimits, budgets: Budgets) -> bool:
    return (limits.slots.held(NAME), limits.totals.look(NAME), budgets.reserved) == (0, Amounts(), [])


def test_who_has_no_such_limit_holds_nothing(spending: Spending) -> None:
    held = spending.hold(Caller("key_1", KeyPolicy(rpm=5, concurrent=5)), Asked(body=b"no json"))
    assert (held._holds, held.token_state) == ([], None)


def test_everything_at_once_is_held_and_can_be_given_back(
    spending: Spending, limits: MemoryLimits, budgets: Budgets
) -> None:
    who = caller(KeyPolicy(tpm=9, budget_usd=1), requests=5, concurrent=2, cost_usd=0.5)
    held = spending.hold(who, Asked())
    assert limits.slots.held(NAME) == 1
    assert limits.totals.look(NAME) == Amounts(1, 0, 105_000)
    assert [amount for _, amount in budgets.reserved] == [105_000]
    assert held.token_state is not None
    held.give_back()
    assert nothing_taken(limits, budgets)


def test_whichever_store_refuses_nothing_is_taken(spending: Spending, limits: MemoryLimits, budgets: Budgets) -> None:
    rich = KeyPolicy(tpm=9, budget_usd=1)
    limits.token_rates.charge("key_2", 9)
    poor = Caller("key_2", rich, "user", "tok_1", (), (), TokenLimits(concurrent=1, requests=1))
    assert refusal(spending, poor)[0] == "tokens_rate_limit_exceeded"
    assert limits.slots.held("key_2/tok_1") == 0
    assert refusal(spending, caller(rich, cost_usd=0.0001, concurrent=1)) == ("insufficient_quota", "limits.cost_usd")
    assert nothing_taken(limits, budgets)
    budgets.fits = False
    assert refusal(spending, caller(rich, requests=1, concurrent=1)) == ("insufficient_quota", "budget_usd")
    assert limits.totals.look(NAME) == Amounts()
    assert limits.slots.held(NAME) == 0


def test_the_budgets_account_is_the_keys_of_this_day(spending: Spending, budgets: Budgets) -> None:
    spending.hold(Caller("key_1", KeyPolicy(budget_usd=0.25, budget_per="day")), Asked())
    [(account, _)] = budgets.reserved
    assert (account.key_id, account.limit, len(account.period)) == ("key_1", 250_000_000, 10)


def test_what_costs_nothing_counts_as_a_request_and_no_more(spending: Spending, limits: MemoryLimits) -> None:
    limits.token_rates.charge("key_1", 99)
    who = caller(KeyPolicy(tpm=9, budget_usd=1), requests=1, cost_usd=0.5)
    held = spending.hold(who, Asked(MODELS, None, None))
    assert limits.totals.look(NAME) == Amounts(1, 0, 0)
    assert held.cost == 0
    assert refusal(spending, who, Asked(MODELS, None, None)) == ("rate_limit_exceeded", "limits.requests")


@pytest.mark.parametrize("model", [None, "", "gpt-other"])
def test_without_a_price_nobody_can_be_kept_within_a_cost(spending: Spending, model: str | None) -> None:
    for who in (caller(cost_usd=1), Caller("key_1", KeyPolicy(budget_usd=1))):
        assert refusal(spending, who, Asked(model=model, body=object())) == ("model_not_allowed", "model")
    assert spending.hold(caller(KeyPolicy(tpm=9)), Asked(model=model, body=object()))


@pytest.mark.parametrize(("name", "amounts"), [("requests", Amounts(1)), ("tokens", Amounts(0, 1))])
def test_what_never_refills_says_so(spending: Spending, limits: MemoryLimits, name: str, amounts: Amounts) -> None:
    limits.totals.add(NAME, amounts)
    with pytest.raises(RelayError) as caught:
        spending.hold(caller(**{name: 1}), Asked())
    assert ("x-should-retry", "false") in caught.value.headers()
    assert "Retry-After" not in dict(caught.value.headers())
