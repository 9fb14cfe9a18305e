"""A full disk under the ledger: requests go on, entries wait, and all are written when there is room again."""

import resource
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from relay.bookkeeping import Bookkeeper
from relay.stores.database import Database, StoreError, open_database
from relay.stores.ledger import Ledger
from tests.entries import entries, entry


class Disk(Protocol):
    """`path`: a directory on it."""

    path: Path

    def fill(self) -> None: ...

    def free(self) -> None: ...


class SmallDisk:
    """A file system of 2 MiB in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
            while True:
                ballast.write(bytes(4096))

    def free(self) -> None:
        self._ballast.unlink()


class LimitedFiles:
    """For users who may not mount: no file of this process grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, self._limits[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


def mounted(path: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(params=["small disk", "limited files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """Where nothing can be mounted, both are limited files."""
    is_mounted = request.param == "small disk" and mounted(tmp_path)
    disk: Disk = SmallDisk(tmp_path) if is_mounted else LimitedFiles(tmp_path)
    yield disk
    if is_mounted:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True, timeout=10)
    else:
        disk.free()


@pytest.fixture
def database(disk: Disk) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{disk.path}/relay.db")
    opened.create_tables()
    yield opened
    opened.close()


def test_entries_outlast_a_full_disk(disk: Disk, database: Database) -> None:
    failures: list[BaseException] = []
    ledger = Ledger(database)
    keeper = Bookkeeper(ledger.write, lambda where, error: failures.append(error))
    _enter(keeper, 0, 10)
    keeper.flush()
    disk.fill()
    for turn in range(3):
        assert _enter(keeper, 10 + 500 * turn, 500) < 0.25  # a request does not notice
        keeper.flush()
    assert (keeper.waiting, keeper.write_errors, keeper.dropped) == (1500, 3, 0)
    assert [type(error) for error in failures] == [StoreError]
    assert ledger.sums(0).requests == 10
    disk.free()
    keeper.flush()
    assert (keeper.waiting, ledger.sums(0).requests) == (0, 1510)
    _check_file(disk.path / "relay.db")


def test_the_failure_says_what_is_wrong_and_nothing_of_the_rows(disk: Disk, database: Database) -> None:
    ledger = Ledger(database)
    ledger.write([entry()])
    disk.fill()
    with pytest.raises(StoreError, match=r"^database: (database or disk is full|disk I/O error)$"):
        ledger.write(entries(1000))
    disk.free()


def _enter(keeper: Bookkeeper, first: int, count: int) -> float:
    begun = time.monotonic()
    for number in range(first, first + count):
        keeper.enter(entry(number))
    return time.monotonic() - begun


def _check_file(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
