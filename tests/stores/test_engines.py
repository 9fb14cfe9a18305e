"""Which URLs open which database, and how its connections are kept."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Barrier, Thread, Timer

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from relay.stores.engines import ROOT, build_engine

SECRET = "canary-password"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_means_psycopg(scheme: str) -> None:
    engine = build_engine(f"{scheme}://relay:{SECRET}@db.example:6432/relay?sslmode=require&connect_timeout=1")
    assert engine.driver == "psycopg"
    assert (engine.url.host, engine.url.port, engine.url.database) == ("db.example", 6432, "relay")
    assert engine.url.query["sslmode"] == "require"
    assert engine.url.query["connect_timeout"] == "1"
    assert engine.url.query["tcp_user_timeout"] == "10000"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relay.db",
        "mysql://root:{}@db/relay",
        "postgresql+asyncpg://relay:{}@db/relay",
        "postgresql://relay:{}@db:port/relay",
        "postgresql://relay:{}@db:54 32/relay",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:relay.db?uri=true",
    ],
)
def test_any_other_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL") as refusal:
        build_engine(url.format(SECRET))
    assert SECRET not in str(refusal.value)


def test_the_sqlite_file_and_its_directory_are_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "var" / "relay.db"
    engine = build_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n)")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    engine.dispose()
    assert modes == {"relay.db": 0o600, "relay.db-wal": 0o600, "relay.db-shm": 0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    path.touch()
    path.chmod(0o640)
    build_engine(f"sqlite:///{path}").dispose()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_that_another_process_is_writing_is_waited_for(tmp_path: Path) -> None:
    """SQLite's own busy_timeout does not cover the switch to WAL: it fails at once."""
    writer = sqlite3.connect(tmp_path / "relay.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    letting_go = Timer(0.3, writer.execute, ("COMMIT",))
    letting_go.start()
    engine = build_engine(f"sqlite:///{tmp_path}/relay.db")
    with engine.connect() as connection:
        assert _ask(connection, "PRAGMA journal_mode") == "wal"
    letting_go.join()
    engine.dispose()
    writer.close()


def test_a_file_that_stays_locked_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.stores.engines.BUSY_MS_MAX", 100)
    with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            build_engine(f"sqlite:///{tmp_path}/relay.db").connect()


def test_opening_a_file_a_second_time_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    """POSIX drops all locks that a process has on a file when it closes any descriptor of it."""
    url = f"sqlite:///{tmp_path}/relay.db"
    first = build_engine(url)
    with first.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n)")
        before = _locks(tmp_path / "relay.db")
        build_engine(url).dispose()
        assert _locks(tmp_path / "relay.db") == before != []
    first.dispose()


def test_a_relative_path_begins_at_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("relay.stores.engines.ROOT", tmp_path / "checkout")
    engine = build_engine("sqlite:///var/relay.db")
    assert engine.url.database == str(tmp_path / "checkout" / "var" / "relay.db")
    assert (ROOT / "relay" / "stores" / "engines.py").exists()


def test_every_sqlite_connection_waits_logs_ahead_and_checks_references(tmp_path: Path) -> None:
    engine = build_engine(f"sqlite:///{tmp_path}/relay.db")
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            asked = ("journal_mode", "busy_timeout", "foreign_keys")
            assert [_ask(connection, f"PRAGMA {name}") for name in asked] == ["wal", 5000, 1]
    engine.dispose()


def test_connections_are_reused_and_as_many_as_were_needed_at_once(tmp_path: Path) -> None:
    engine = build_engine(f"sqlite:///{tmp_path}/relay.db")
    for _ in range(20):
        _connect(engine)
    assert engine.pool.status() == "1 idle"
    together = Barrier(3, timeout=10)
    threads = [Thread(target=_connect, args=(engine, together)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.pool.status() == "3 idle"
    engine.dispose()
    assert engine.pool.status() == "0 idle"


def _connect(engine: Engine, together: Barrier | None = None) -> None:
    with engine.connect():
        if together:
            together.wait()


def _ask(connection: Connection, question: str) -> object:
    return connection.exec_driver_sql(question).scalar_one()


def _locks(path: Path) -> list[str]:
    held = Path("/proc/locks").read_text().splitlines()
    mine = [line for line in held if f" {os.getpid()} " in line and f":{path.stat().st_ino} " in line]
    return [line.split(":", 1)[1] for line in mine]  # without the number of the line
