"""What keys may still spend: reserved before a request runs, settled when it has ended, exact over all processes.

Money is whole nanodollars, times are UTC epoch seconds. A process that is killed leaves its reservations until they
expire; what they were for was never settled, and is not in `spent`.
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from relay.stores.database import Database
from relay.stores.schema import budgets, reservations

# A reservation that has expired counts no more, but may still be settled: what it was for runs longer than was thought.
KEPT_SECONDS = 86_400
_OPEN = {
    "sqlite": sqlite.insert(budgets).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(budgets).on_conflict_do_nothing(),
}


@dataclass(frozen=True, slots=True)
class Account:
    """A key's budget of one period, and its limit."""

    key_id: str
    period: str
    limit: int


@dataclass(frozen=True, slots=True)
class Balance:
    """`reserved`: what running requests may take; `estimated`: the part of `spent` that no upstream told."""

    spent: int = 0
    estimated: int = 0
    reserved: int = 0


class Budgets:
    """Every method raises StoreError when the database cannot do it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, account: Account, amount: int, now: float, expires_at: float) -> str | None:
        """Reserve an amount for a request and return the reservation's id; None where it does not fit any more."""
        row = {"id": secrets.token_hex(12), "amount": amount, "expires_at": expires_at}
        row |= {"key_id": account.key_id, "period": account.period}

        def write(connection: Connection) -> bool:
            fits = _fits(_locked_balance(connection, account, now), amount, account)
            connection.execute(delete(reservations).where(_is_of(account), _is_old(now)))
            if fits:
                connection.execute(insert(reservations).values(row))
            return fits

        return str(row["id"]) if self._database.run(write) else None

    def extend(self, account: Account, reservation_id: str, amount: int, now: float) -> bool:
        """Reserve more for a request that runs; return whether it fitted."""
        mine = update(reservations).where(reservations.c.id == reservation_id)

        def write(connection: Connection) -> bool:
            fits = _fits(_locked_balance(connection, account, now), amount, account)
            if fits:
                connection.execute(mine.values(amount=reservations.c.amount + amount))
            return fits

        return self._database.run(write)

    def settle(self, account: Account, reservation_id: str, spent: int, estimated: int) -> None:
        """Put what a request did cost in the place of its reservation. A second time changes nothing."""
        sums = {"spent": budgets.c.spent + spent, "estimated": budgets.c.estimated + estimated}

        def write(connection: Connection) -> None:
            _lock(connection, account)  # first here too: who takes two locks in another order waits for ever
            if connection.execute(delete(reservations).where(reservations.c.id == reservation_id)).rowcount and spent:
                connection.execute(update(budgets).where(_row_of(account)).values(sums))

        self._database.run(write)

    def look(self, key_id: str, period: str, now: float) -> Balance:
        """What was spent and reserved in this period."""
        account = Account(key_id, period, 0)
        return self._database.read(lambda connection: _balance(connection, account, now))


def _fits(balance: Balance, amount: int, account: Account) -> bool:
    return balance.spent + balance.reserved + amount <= account.limit


def _locked_balance(connection: Connection, account: Account, now: float) -> Balance:
    row = {"key_id": account.key_id, "period": account.period, "spent": 0, "estimated": 0}
    connection.execute(_OPEN[connection.dialect.name], row)
    _lock(connection, account)
    return _balance(connection, account, now)


def _lock(connection: Connection, account: Account) -> None:
    """Lock the budget's row until the transaction ends, so that nobody else reserves meanwhile; SQLite has locked the
    whole file already and leaves this out.
    """
    connection.execute(select(budgets.c.spent).where(_row_of(account)).with_for_update())


def _balance(connection: Connection, account: Account, now: float) -> Balance:
    reserved = (
        select(func.coalesce(func.sum(reservations.c.amount), 0))
        .where(_is_of(account), reservations.c.expires_at > now)
        .scalar_subquery()
    )
    query = select(budgets.c.spent, budgets.c.estimated, reserved).where(_row_of(account))
    row = connection.execute(query).one_or_none()
    return Balance() if row is None else Balance(*map(int, row))


def _row_of(account: Account) -> ColumnElement[bool]:
    return (budgets.c.key_id == account.key_id) & (budgets.c.period == account.period)


def _is_of(account: Account) -> ColumnElement[bool]:
    return (reservations.c.key_id == account.key_id) & (reservations.c.period == account.period)


def _is_old(now: float) -> ColumnElement[bool]:
    return reservations.c.expires_at < now - KEPT_SECONDS
