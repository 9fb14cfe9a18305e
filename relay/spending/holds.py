"""What one request holds of its limits. Each is given back when the request is refused after all, or settled once."""

import time
from collections import deque
from typing import Protocol

from relay.core.spending import (
    OUTPUT_TOKENS_ASSUMED,
    Amounts,
    Charge,
    Estimate,
    Price,
    Told,
    charge_for,
    nano,
    nano_cost,
)
from relay.core.tokens import TokenLimits
from relay.stores.budgets import Account, Budgets
from relay.stores.database import StoreError
from relay.stores.rates import RateState
from relay.stores.shared import Slots, TokenRates, Totals

# Frames that carry no token: the role, the finish, the usage.
FRAMES_SLACK = 16
UNSETTLED_MAX = 10_000


class Hold(Protocol):
    """Something that was taken from a store. None of these raises, but where a greenlet is killed."""

    def give_back(self) -> None: ...

    def settle(self, charge: Charge) -> None: ...

    def extend(self, nano_usd: int) -> bool: ...


class SlotHold:
    """A place among the requests that a token may have at once."""

    def __init__(self, slots: Slots, name: str, lease: str) -> None:
        self._slots, self._name, self._lease = slots, name, lease

    def give_back(self) -> None:
        self._slots.release(self._name, self._lease)

    def settle(self, charge: Charge) -> None:
        self.give_back()

    def extend(self, nano_usd: int) -> bool:
        return True


class RateHold:
    """The key's tokens of the minute: nothing is taken before they are known."""

    def __init__(self, rates: TokenRates, key_id: str) -> None:
        self._rates, self._key_id = rates, key_id

    def give_back(self) -> None:
        """Nothing was taken."""

    def settle(self, charge: Charge) -> None:
        if charge.tokens:
            self._rates.charge(self._key_id, charge.tokens)

    def extend(self, nano_usd: int) -> bool:
        return True


class TotalsHold:
    """One request of a token, and what is reserved of its `cost_usd`."""

    def __init__(self, totals: Totals, name: str, limits: TokenLimits, reserved: int) -> None:
        self._totals, self._name, self._limits, self._reserved = totals, name, limits, reserved

    def give_back(self) -> None:
        self._totals.add(self._name, Amounts(-1, 0, -self._reserved))

    def settle(self, charge: Charge) -> None:
        cost = 0 if self._limits.cost_usd is None else charge.nano_usd
        change = Amounts(0, charge.tokens, cost - self._reserved)
        if change != Amounts():
            self._totals.add(self._name, change)

    def extend(self, nano_usd: int) -> bool:
        """Raises RelayError where the totals cannot be asked."""
        if self._limits.cost_usd is None:
            return True
        if self._totals.look(self._name).nano_usd + nano_usd > nano(self._limits.cost_usd):
            return False
        self._totals.add(self._name, Amounts(0, 0, nano_usd))
        self._reserved += nano_usd
        return True


class Unsettled:
    """Settlements of budgets that the database did not take; they are tried again until it does."""

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets
        self._waiting: deque[tuple[Account, str, Charge]] = deque(maxlen=UNSETTLED_MAX)

    def settle(self, account: Account, reservation_id: str, charge: Charge) -> None:
        """Settle now, or later. Never raises StoreError."""
        try:
            self.budgets.settle(account, reservation_id, charge.nano_usd, charge.estimated)
        except StoreError:
            self._waiting.append((account, reservation_id, charge))

    def retry(self) -> None:
        """Try what waits. Raises StoreError."""
        while self._waiting:
            account, reservation_id, charge = self._waiting[0]
            self.budgets.settle(account, reservation_id, charge.nano_usd, charge.estimated)
            self._waiting.popleft()


class BudgetHold:
    """A reservation of the key's budget."""

    def __init__(self, unsettled: Unsettled, account: Account, reservation_id: str) -> None:
        self._unsettled, self._account, self._id = unsettled, account, reservation_id

    def give_back(self) -> None:
        self.settle(Charge())

    def settle(self, charge: Charge) -> None:
        self._unsettled.settle(self._account, self._id, charge)

    def extend(self, nano_usd: int) -> bool:
        """Raises StoreError."""
        return self._unsettled.budgets.extend(self._account, self._id, nano_usd, time.time())


class Held:
    """All that one request holds, given back or settled once. `token_state`: the key's tokens of the minute.

    `estimate`: None where nothing is billed; `price`: where what it costs is limited, else None.
    """

    def __init__(self, estimate: Estimate | None = None, price: Price | None = None) -> None:
        self._estimate, self._price = estimate, price
        self._output_tokens = estimate.output_tokens if estimate else 0
        self._holds: list[Hold] = []
        self.cost = nano_cost(estimate, price) if estimate and price else 0
        self.token_state: RateState | None = None

    def add(self, hold: Hold) -> None:
        self._holds.append(hold)

    def give_back(self) -> None:
        """The request was refused after all: nothing was taken."""
        while self._holds:
            self._holds.pop().give_back()

    def settle(self, told: Told) -> None:
        """The request has ended: what it took stands, what was reserved beyond is free."""
        if self._holds:
            charge = charge_for(told, self._estimate.input_tokens, self._price) if self._estimate else Charge()
            while self._holds:
                self._holds.pop().settle(charge)

    def covers(self, frames: int) -> bool:
        """Whether the stream may go on after so many frames; more is reserved where it is needed. Raises StoreError,
        RelayError where the stores cannot be asked.
        """
        while self._price is not None and frames > self._output_tokens + FRAMES_SLACK:
            more = nano_cost(Estimate(0, OUTPUT_TOKENS_ASSUMED), self._price)
            if not all([hold.extend(more) for hold in list(self._holds)]):
                return False
            self._output_tokens += OUTPUT_TOKENS_ASSUMED
        return True
