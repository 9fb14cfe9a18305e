"""Entries -> the ledger, in batches off the loop: a request leaves its entry here and goes on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from relay.core.entry import Entry

# What a process that is killed may lose.
TURN_SECONDS = 1.0
# One transaction: 30 ms of SQLite's write lock on a busy machine, 100 of PostgreSQL's.
BATCH_ENTRIES_MAX = 1_000
ENTRIES_MAX = 10_000


class Bookkeeper:
    """One per worker. `write` may wait, and raises what the database does not do; the ledger ignores what it has.

    `write_errors`: writes that failed; their entries wait for the next turn. `dropped`: entries that found the queue
    full. `report` is told of the first failure of a row of them.
    """

    def __init__(self, write: Callable[[Sequence[Entry]], None], report: Callable[[str, BaseException], None]) -> None:
        self._write, self._report = write, report
        self._waiting: list[Entry] = []
        self._being_written = 0
        self._failing = False
        self.write_errors = self.dropped = 0

    @property
    def waiting(self) -> int:
        """Number of entries that are not in the ledger yet."""
        return len(self._waiting) + self._being_written

    def enter(self, entry: Entry) -> None:
        """Take the entry; never waits, never raises."""
        if self.waiting >= ENTRIES_MAX:
            self.dropped += 1
        else:
            self._waiting.append(entry)

    def flush(self) -> None:
        """Write what waits; called every second in the background, and once more at the end."""
        while self._waiting:
            try:
                with self._batch() as batch:
                    self._write(batch)
            except Exception as error:
                self._failed(error)
                return
            self._failing = False

    @contextmanager
    def _batch(self) -> Iterator[list[Entry]]:
        """The oldest entries. On any failure they go back, also when the greenlet is killed while a thread writes."""
        batch = self._waiting[:BATCH_ENTRIES_MAX]
        del self._waiting[:BATCH_ENTRIES_MAX]
        self._being_written += len(batch)
        try:
            yield batch
        except BaseException:
            self._waiting[:0] = batch
            raise
        finally:
            self._being_written -= len(batch)

    def _failed(self, error: Exception) -> None:
        self.write_errors += 1
        if not self._failing:
            self._report("ledger", error)
        self._failing = True
