"""Budgets in SQL: reserved together never more than there is, whoever asks at once, and settled once."""

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from relay.stores.budgets import KEPT_SECONDS, Account, Balance, Budgets
from relay.stores.database import Database

ACCOUNT = Account("key_1", "2027-01", 1_000)
NOW, LATER = 2_000_000_000.0, 2_000_003_600.0
SEED, THREADS, TRIES = 20_261_121, 6, 12


@pytest.fixture
def budgets(database: Database) -> Budgets:
    return Budgets(database)


def reserve(budgets: Budgets, amount: int, account: Account = ACCOUNT, now: float = NOW) -> str:
    reservation = budgets.reserve(account, amount, now, now + 3_600)
    assert reservation is not None
    return reservation


def balance(budgets: Budgets, account: Account = ACCOUNT, now: float = NOW) -> Balance:
    return budgets.look(account.key_id, account.period, now)


def test_a_budget_that_nobody_touched_is_whole(budgets: Budgets) -> None:
    assert balance(budgets) == Balance()


def test_reservations_fit_to_the_last_nanodollar(budgets: Budgets) -> None:
    reserve(budgets, 400)
    assert budgets.reserve(ACCOUNT, 601, NOW, LATER) is None
    reserve(budgets, 600)
    assert budgets.reserve(ACCOUNT, 1, NOW, LATER) is None
    assert budgets.reserve(ACCOUNT, 0, NOW, LATER) is not None
    assert balance(budgets) == Balance(0, 0, 1_000)


def test_what_was_spent_takes_the_place_of_what_was_reserved(budgets: Budgets) -> None:
    one, other = reserve(budgets, 400), reserve(budgets, 600)
    budgets.settle(ACCOUNT, one, 100, 0)
    budgets.settle(ACCOUNT, other, 50, 50)
    assert balance(budgets) == Balance(150, 50, 0)
    assert budgets.reserve(ACCOUNT, 851, NOW, LATER) is None
    reserve(budgets, 850)


def test_a_second_settlement_changes_nothing(budgets: Budgets) -> None:
    one = reserve(budgets, 400)
    for _ in range(2):
        budgets.settle(ACCOUNT, one, 100, 0)
    budgets.settle(ACCOUNT, "unknown", 100, 0)
    assert balance(budgets) == Balance(100, 0, 0)


def test_a_settlement_may_go_beyond_the_budget(budgets: Budgets) -> None:
    budgets.settle(ACCOUNT, reserve(budgets, 400), 5_000, 0)
    assert balance(budgets).spent == 5_000
    assert budgets.reserve(ACCOUNT, 0, NOW, LATER) is None


def test_a_reservation_grows_while_there_is_something_left(budgets: Budgets) -> None:
    one = reserve(budgets, 400)
    assert budgets.extend(ACCOUNT, one, 600, NOW)
    assert not budgets.extend(ACCOUNT, one, 1, NOW)
    assert balance(budgets).reserved == 1_000
    budgets.settle(ACCOUNT, one, 10, 0)
    assert balance(budgets) == Balance(10, 0, 0)


def test_periods_and_keys_have_budgets_of_their_own(budgets: Budgets) -> None:
    reserve(budgets, 1_000)
    others = [Account("key_1", "2027-02", 1_000), Account("key_2", "2027-01", 1_000)]
    for account in others:
        reserve(budgets, 1_000, account)
    assert [balance(budgets, account).reserved for account in (ACCOUNT, *others)] == [1_000] * 3


def test_what_a_killed_process_reserved_is_free_when_it_expires_and_can_still_be_settled(budgets: Budgets) -> None:
    one = reserve(budgets, 1_000)
    assert budgets.reserve(ACCOUNT, 1, NOW + 3_599, LATER) is None
    assert budgets.reserve(ACCOUNT, 1_000, NOW + 3_600, LATER + 3_600) is not None
    budgets.settle(ACCOUNT, one, 7, 0)
    assert balance(budgets).spent == 7


def test_old_reservations_leave_no_rows(budgets: Budgets, database: Database) -> None:
    one = reserve(budgets, 10)
    reserve(budgets, 10, now=NOW + 3_601 + KEPT_SECONDS)
    budgets.settle(ACCOUNT, one, 7, 0)
    assert balance(budgets).spent == 0


def test_sums_beyond_32_bits_are_exact(budgets: Budgets) -> None:
    rich = Account("key_1", "2027-01", 10**18)
    budgets.settle(rich, reserve(budgets, 10**18, rich), 10**18 - 1, 0)
    reserve(budgets, 1, rich)
    assert budgets.reserve(rich, 1, NOW, LATER) is None


def test_of_many_at_once_exactly_as_many_reserve_as_fit(budgets: Budgets) -> None:
    """Each thread connects first, so that all begin at the same moment."""
    fifty, together = Account("key_1", "2027-01", 50), Barrier(THREADS)

    def attempts(_: int) -> int:
        budgets.look("key_1", "2027-01", NOW)
        together.wait(10)
        return sum(budgets.reserve(fifty, 1, NOW, LATER) is not None for _ in range(TRIES))

    with ThreadPoolExecutor(THREADS) as threads:
        assert sum(threads.map(attempts, range(THREADS))) == 50


def test_of_many_at_once_no_more_is_reserved_than_there_is(budgets: Budgets) -> None:
    dice = random.Random(SEED)

    def spend(seed: int) -> int:
        coin, spent = random.Random(seed), 0
        for _ in range(TRIES):
            amount = coin.randrange(1, 60)
            reservation = budgets.reserve(ACCOUNT, amount, NOW, LATER)
            if reservation is not None:
                grown = amount + (5 if budgets.extend(ACCOUNT, reservation, 5, NOW) else 0)
                cost = coin.randrange(0, grown + 1)
                budgets.settle(ACCOUNT, reservation, cost, 0)
                spent += cost
        return spent

    with ThreadPoolExecutor(THREADS) as threads:
        spent = sum(threads.map(spend, [dice.getrandbits(32) for _ in range(THREADS)]))
    assert balance(budgets) == Balance(spent, 0, 0)
    assert 500 < spent <= 1_000
