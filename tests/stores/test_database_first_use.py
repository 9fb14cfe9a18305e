"""A database's first use: it connects alone, makes what is missing, and fails for all who wait at once."""

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from relay.stores.database import StoreError, open_database
from tests.stores.test_database import names, seconds_of


def test_the_first_connection_is_made_alone(url: str) -> None:
    first_use = FirstUse()
    database = open_database(url, first_use)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: database.read(lambda connection: 1), range(8)))
    database.close()
    assert answers == [1] * 8
    assert first_use.together_at_first == 1


def test_a_database_that_was_not_there_at_first_is_used_when_it_is(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(b"this is no database" * 100)
    database = open_database(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="not a database"):
        database.create_tables()
    path.write_bytes(b"")
    database.create_tables()
    database.close()


def test_whoever_uses_a_new_database_first_makes_its_tables(url: str) -> None:
    database = open_database(url)
    assert database.read(names) == []
    database.close()


def test_a_database_that_has_its_tables_is_not_written_to_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    first = open_database(f"sqlite:///{path}")
    first.create_tables()
    first.close()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    again = open_database(f"sqlite:///{path}")
    assert seconds_of(lambda: again.read(names)) < 1
    writer.close()
    again.close()


def test_while_the_first_attempt_fails_nobody_waits_for_another_one(tmp_path: Path) -> None:
    attempts = []

    def fail_slowly(work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        attempts.append(time.monotonic())
        time.sleep(0.2)
        raise StoreError("nobody there")

    database = open_database(f"sqlite:///{tmp_path}/relay.db", fail_slowly)

    def attempt(_: int) -> str:
        with pytest.raises(StoreError) as refusal:
            database.read(names)
        return str(refusal.value)

    begun = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(attempt, range(8))) == ["nobody there"] * 8
    assert time.monotonic() - begun < 8 * 0.2 / 2
    attempt(9)
    assert len(attempts) > 1


class FirstUse:
    """A Runner that notes how many were at work while the first was."""

    def __init__(self) -> None:
        self.together_at_first = 0
        self._guard, self._now, self._first_is_done = Lock(), 0, False

    def __call__(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._count(1)
        time.sleep(0.05)
        try:
            return work(*args, **kwargs)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._guard:
            self._now += change
            if not self._first_is_done:
                self.together_at_first = max(self.together_at_first, self._now)
            self._first_is_done = self._first_is_done or change < 0
