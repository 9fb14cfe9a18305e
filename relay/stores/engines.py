"""DATABASE_URL -> a SQLAlchemy engine for SQLite or PostgreSQL that native threads may share under gevent.

Measured on two cores, one KeyStore.find on a kept connection against one opened for it: SQLite 0.08 against 0.4 ms,
PostgreSQL (its ping included) 0.9 against 6.5 ms. The way through a gevent thread pool adds 0.3 ms.
"""

import os
import sqlite3
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, Pool

ROOT = Path(__file__).resolve().parents[2]
POSTGRESQL_NAMES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
BUSY_MS_MAX = 5_000
AGAIN_SECONDS = 0.02
STATEMENT_MS_MAX = 10_000
# libpq's own names; what the URL says goes before
POSTGRESQL_DEFAULTS = {"connect_timeout": "5", "tcp_user_timeout": "10000", "keepalives_idle": "30"}


class IdleConnections(Pool):
    """Keeps every connection that was ever needed at once, as many as there are threads; takes no lock.

    SQLAlchemy's QueuePool takes locks, which are gevent's here. Fought over by native threads those stand still:
    with eight threads at QueuePool one went on and seven did not. A deque needs none.
    """

    def __init__(self, creator: Any, **options: Any) -> None:
        super().__init__(creator, **options)
        self._idle: deque[ConnectionPoolEntry] = deque()

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return self._idle.pop()
        except IndexError:
            return self._create_connection()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._idle.append(record)

    def recreate(self) -> "IdleConnections":
        return IdleConnections(self._creator, pre_ping=self._pre_ping, _dispatch=self.dispatch, dialect=self._dialect)

    def dispose(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def status(self) -> str:
        return f"{len(self._idle)} idle"


def build_engine(database_url: str) -> Engine:
    """Build the engine; nothing is connected yet, but an SQLite file and its directory are made.

    Raises ValueError for a URL that is neither, OSError for a file that cannot be made, ImportError without psycopg.
    """
    url = _parse(database_url)
    if url.drivername == "sqlite":
        return _sqlite_engine(url)
    if url.drivername in POSTGRESQL_NAMES:
        return _postgresql_engine(url)
    raise ValueError("DATABASE_URL must begin with sqlite:/// or postgresql://")


def _parse(database_url: str) -> URL:
    try:
        return make_url(database_url)
    except (SQLAlchemyError, ValueError):
        raise ValueError("DATABASE_URL is not a URL") from None  # the cause may quote the password


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database.startswith((":memory:", "file:")):
        raise ValueError("DATABASE_URL must name a file, sqlite:///path")
    path = ROOT / url.database
    _make_private(path)
    url = url.set(database=str(path))
    # no transaction of the driver's own: it would begin a writing one as a reading one, which cannot wait its turn
    engine = create_engine(url, poolclass=IdleConnections, hide_parameters=True, connect_args={"isolation_level": None})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Never opened when it is there: closing it would end the locks that SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # SQLite gives its -wal and -shm the same mode


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS_MAX}")
    cursor.execute("PRAGMA foreign_keys = ON")
    _log_ahead(cursor)
    cursor.close()


def _log_ahead(cursor: DBAPICursor) -> None:
    """Processes that switch a new file at once are in each other's way, and busy_timeout does not cover that."""
    deadline = time.monotonic() + BUSY_MS_MAX / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
        time.sleep(AGAIN_SECONDS)


def _postgresql_engine(url: URL) -> Engine:
    url = url.set(drivername="postgresql+psycopg").update_query_dict({**POSTGRESQL_DEFAULTS, **url.query})
    engine = create_engine(url, poolclass=IdleConnections, hide_parameters=True, pool_pre_ping=True)
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET statement_timeout = {STATEMENT_MS_MAX}")
    cursor.close()
    connection.commit()
