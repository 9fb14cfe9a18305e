"""Asks the stores whether a request may be begun, in the order in which nothing need be taken twice: slot, tokens,
totals, budget.
"""

import time
from collections.abc import Mapping
from typing import Any, Protocol

from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.outputs import estimate_of
from relay.core.routes import Route
from relay.core.spending import BYTES_PER_TOKEN, Estimate, Price, nano, period_of
from relay.spending.holds import BudgetHold, Held, RateHold, SlotHold, TotalsHold, Unsettled
from relay.stores.budgets import Account
from relay.stores.database import StoreError
from relay.stores.shared import Slots, TokenRates, Totals

SLOT_RETRY_SECONDS = 1.0
NEVER = (("x-should-retry", "false"),)
# A page can tell a limit of its token, which never refills, from one of the key: by `param` and `x-should-retry`.
_USED_UP = {
    "requests": ("rate_limit_exceeded", "This token's requests are used up."),
    "tokens": ("tokens_rate_limit_exceeded", "This token's tokens are used up."),
    "cost_usd": ("insufficient_quota", "What this token may cost is used up, or this request might cost more."),
}


class Limits(Protocol):
    """The stores of counts."""

    @property
    def slots(self) -> Slots: ...

    @property
    def token_rates(self) -> TokenRates: ...

    @property
    def totals(self) -> Totals: ...


class Asked(Protocol):
    """The request, as far as this room looks."""

    route: Route
    model: str | None
    body: Any


class Spending:
    """One per worker. `seconds_max`: how long a request may run, after which its reservation is no one's."""

    def __init__(self, limits: Limits, unsettled: Unsettled, prices: Mapping[str, Price], seconds_max: float) -> None:
        self._limits, self._unsettled, self._prices, self._seconds_max = limits, unsettled, prices, seconds_max

    def hold(self, caller: Caller, request: Asked) -> Held:
        """Return what the request holds.

        Raises RelayError too_many_streams, tokens_rate_limit_exceeded, rate_limit_exceeded, insufficient_quota,
        model_not_allowed, store_unavailable; then nothing was taken.
        """
        policy = caller.policy
        if not (policy.tpm or policy.budget_usd or caller.token_id):
            return Held()
        held = self._measured(caller, request)
        try:
            self._take_slot(caller, held)
            is_billed = bool(request.route.scope)
            if is_billed:
                self._test_rate(caller, held)
            self._take_of_token(caller, held)
            if is_billed:
                self._reserve(caller, held)
        except BaseException:
            held.give_back()
            raise
        return held

    def _measured(self, caller: Caller, request: Asked) -> Held:
        if not request.route.scope:
            return Held()
        body, price = request.body, self._prices.get(request.model or "")
        if not _is_priced(caller):
            return Held(Estimate(len(body) // BYTES_PER_TOKEN if isinstance(body, bytes) else 0, 0))
        if price is None:
            message = "This model has no price, so that a limit on cost cannot hold."
            raise RelayError("model_not_allowed", message, param="model")
        return Held(estimate_of(body, request.route), price)

    def _take_slot(self, caller: Caller, held: Held) -> None:
        slots_max = caller.limits.concurrent
        if slots_max is None:
            return
        lease = self._limits.slots.acquire(caller.token_name, slots_max)
        if lease is None:
            message = f"This token may have {slots_max} requests at once."
            raise RelayError(
                "too_many_streams", message, param="limits.concurrent", retry_after_seconds=SLOT_RETRY_SECONDS
            )
        held.add(SlotHold(self._limits.slots, caller.token_name, lease))

    def _test_rate(self, caller: Caller, held: Held) -> None:
        per_minute = caller.policy.tpm
        if not per_minute:
            return
        state = self._limits.token_rates.look(caller.key_id, per_minute)
        if not state.allowed:
            message = f"This key may use {per_minute} tokens a minute."
            raise RelayError("tokens_rate_limit_exceeded", message, retry_after_seconds=state.reset_seconds)
        held.token_state = state
        held.add(RateHold(self._limits.token_rates, caller.key_id))

    def _take_of_token(self, caller: Caller, held: Held) -> None:
        limits = caller.limits
        if not limits.are_counted:
            return
        reserved = 0 if limits.cost_usd is None else held.cost
        exceeded = self._limits.totals.take(caller.token_name, limits, reserved)
        if exceeded:
            code, message = _USED_UP[exceeded]
            raise RelayError(code, message, param=f"limits.{exceeded}", headers=NEVER)
        held.add(TotalsHold(self._limits.totals, caller.token_name, limits, reserved))

    def _reserve(self, caller: Caller, held: Held) -> None:
        policy = caller.policy
        if not policy.budget_usd:
            return
        now = time.time()
        account = Account(caller.key_id, period_of(policy.budget_per, now), nano(policy.budget_usd))
        try:
            reservation = self._unsettled.budgets.reserve(account, held.cost, now, now + self._seconds_max)
        except StoreError:
            raise RelayError("store_unavailable", "The budget cannot be asked.", retry_after_seconds=1.0) from None
        if reservation is None:
            message = f"What this key may spend per {policy.budget_per} is used up, or this request might cost more."
            raise RelayError("insufficient_quota", message, param="budget_usd")
        held.add(BudgetHold(self._unsettled, account, reservation))


def _is_priced(caller: Caller) -> bool:
    return bool(caller.policy.budget_usd) or caller.limits.cost_usd is not None
