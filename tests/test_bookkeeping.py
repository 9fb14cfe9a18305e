"""How entries come into the ledger: many at a time, off the loop, and none lost while it cannot be written."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import gevent
import pytest

from relay.bookkeeping import BATCH_ENTRIES_MAX, ENTRIES_MAX, Bookkeeper
from relay.core.entry import Entry
from relay.loop import Loop
from relay.stores.database import StoreError, open_database
from relay.stores.ledger import Ledger
from tests.entries import entries, entry

HELD_SECONDS = 0.5
# of the loop; a write on it would take as long as the lock is held
PAUSE_SECONDS_MAX = 0.25


class Book:
    """A ledger that fails on demand. `batches`: what each write brought."""

    def __init__(self) -> None:
        self.batches: list[list[Entry]] = []
        self.broken: BaseException | None = None
        self.seconds = 0.0  # others go on meanwhile, as they do while a thread writes
        self.failures: list[tuple[str, BaseException]] = []
        self.keeper = Bookkeeper(self._write, lambda *failure: self.failures.append(failure))

    @property
    def written(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch]

    def enter(self, count: int, first: int = 0) -> None:
        for number in range(first, first + count):
            self.keeper.enter(entry(number))

    def _write(self, batch: Sequence[Entry]) -> None:
        gevent.sleep(self.seconds)
        if self.broken is not None:
            raise self.broken
        self.batches.append(list(batch))


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(lambda where, error: pytest.fail(f"{where}: {error}"))
    yield loop
    loop.stop()


def test_what_was_entered_is_written_at_the_next_turn_in_one_batch(book: Book) -> None:
    book.enter(40)
    assert (book.written, book.keeper.waiting) == ([], 40)
    book.keeper.flush()
    assert book.batches == [entries(40)]
    assert book.keeper.waiting == 0


def test_a_turn_without_entries_writes_nothing(book: Book) -> None:
    book.keeper.flush()
    book.enter(1)
    book.keeper.flush()
    book.keeper.flush()
    assert len(book.batches) == 1


def test_many_entries_are_several_batches_in_the_order_they_came(book: Book) -> None:
    book.enter(2 * BATCH_ENTRIES_MAX + 1)
    book.keeper.flush()
    assert [len(batch) for batch in book.batches] == [BATCH_ENTRIES_MAX, BATCH_ENTRIES_MAX, 1]
    assert book.written == entries(2 * BATCH_ENTRIES_MAX + 1)


def test_what_is_being_written_is_not_written_yet(book: Book) -> None:
    book.enter(ENTRIES_MAX)
    book.seconds = 0.01
    writing = gevent.spawn(book.keeper.flush)
    gevent.sleep(0)
    book.enter(1, first=ENTRIES_MAX)
    assert (book.keeper.waiting, book.keeper.dropped) == (ENTRIES_MAX, 1)
    writing.get(timeout=5)
    assert (book.keeper.waiting, len(book.written)) == (0, ENTRIES_MAX)


def test_what_is_entered_during_a_write_is_written_too_and_once(book: Book) -> None:
    book.enter(5)
    writing = gevent.spawn(book.keeper.flush)
    gevent.sleep(0)
    book.enter(5, first=5)
    writing.get(timeout=2)
    book.keeper.flush()
    assert book.written == entries(10)


@pytest.mark.parametrize("error", [StoreError("database or disk is full"), RuntimeError("no thread")])
def test_what_cannot_be_written_waits_in_its_order_until_it_can(book: Book, error: Exception) -> None:
    book.broken = error
    book.enter(BATCH_ENTRIES_MAX + 5)
    book.keeper.flush()
    book.enter(5, first=BATCH_ENTRIES_MAX + 5)
    book.keeper.flush()
    assert (book.keeper.waiting, book.keeper.write_errors) == (BATCH_ENTRIES_MAX + 10, 2)
    book.broken = None
    book.keeper.flush()
    assert book.written == entries(BATCH_ENTRIES_MAX + 10)
    assert (book.keeper.waiting, book.keeper.write_errors, book.keeper.dropped) == (0, 2, 0)


def test_an_outage_is_reported_once_and_the_next_one_again(book: Book) -> None:
    book.enter(1)
    for _ in range(2):
        book.broken = StoreError("away")
        book.keeper.flush()
        book.keeper.flush()
        book.broken = None
        book.keeper.flush()
        book.enter(1)
    assert [where for where, _ in book.failures] == ["ledger", "ledger"]
    assert book.keeper.write_errors == 4


def test_what_waits_is_bounded_and_the_rest_is_counted(book: Book) -> None:
    book.broken = StoreError("away")
    book.enter(ENTRIES_MAX + 7)
    book.keeper.flush()
    book.enter(1, first=ENTRIES_MAX + 7)
    assert (book.keeper.waiting, book.keeper.dropped) == (ENTRIES_MAX, 8)
    book.broken = None
    book.keeper.flush()
    assert book.written == entries(ENTRIES_MAX)


def test_a_turn_that_is_killed_loses_nothing(book: Book) -> None:
    book.enter(BATCH_ENTRIES_MAX + 3)
    book.seconds = 5.0
    writing = gevent.spawn(book.keeper.flush)
    gevent.sleep(0)
    writing.kill()
    assert (book.batches, book.keeper.waiting, book.keeper.write_errors) == ([], BATCH_ENTRIES_MAX + 3, 0)
    book.seconds = 0.0
    book.keeper.flush()
    assert book.written == entries(BATCH_ENTRIES_MAX + 3)


def test_two_turns_at_once_neither_lose_nor_double_anything(book: Book) -> None:
    book.enter(BATCH_ENTRIES_MAX + 3)
    gevent.joinall([gevent.spawn(book.keeper.flush) for _ in range(3)], raise_error=True)
    assert sorted(book.written, key=lambda entry: int(entry.request_id[4:])) == entries(BATCH_ENTRIES_MAX + 3)
    assert book.keeper.waiting == 0


def test_the_last_turn_may_have_a_deadline(book: Book, loop: Loop) -> None:
    keeper = Bookkeeper(lambda batch: gevent.sleep(5), lambda *failure: book.failures.append(failure))
    keeper.enter(entry())
    begun = time.monotonic()
    with loop.deadline(0.05, TimeoutError()):
        keeper.flush()
    assert time.monotonic() - begun < 1
    assert (keeper.waiting, keeper.write_errors, len(book.failures)) == (1, 1, 1)


def test_the_loop_goes_on_while_another_holds_the_databases_lock(tmp_path: Path, loop: Loop) -> None:
    database = open_database(f"sqlite:///{tmp_path}/relay.db", loop.in_thread)
    database.create_tables()
    ledger = Ledger(database)
    keeper = Bookkeeper(ledger.write, lambda *failure: pytest.fail(str(failure)))
    other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    loop.every(0.01, "ledger", keeper.flush)
    pauses = [_pause_of_entering(keeper, number) for number in range(int(HELD_SECONDS / 0.005))]
    other.execute("COMMIT")
    other.close()
    _wait_until_written(keeper)
    assert max(pauses) < PAUSE_SECONDS_MAX
    assert ledger.sums(0).requests == len(pauses)
    database.close()


def _pause_of_entering(keeper: Bookkeeper, number: int) -> float:
    """Enter one and let the others run for 5 ms; return by how many seconds that took longer."""
    begun = time.monotonic()
    keeper.enter(entry(number))
    gevent.sleep(0.005)
    return time.monotonic() - begun - 0.005


def _wait_until_written(keeper: Bookkeeper) -> None:
    with gevent.Timeout(10):
        while keeper.waiting:
            gevent.sleep(0.01)
