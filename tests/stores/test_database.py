"""What a database promises to the stores, and how it fails."""

import socket
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from relay.stores.database import Database, StoreError, open_database
from relay.stores.schema import keys
from tests.stores.postgresql_server import PASSWORD, Server

ROW = {"id": "key_1", "name": "web", "created_at": 1.5, "epoch": 1, "policy": {}}
VALUE = "canary-value"


def add_row(connection: Connection) -> None:
    connection.execute(insert(keys).values(ROW))


def names(connection: Connection) -> list[str]:
    return list(connection.scalars(select(keys.c.name)))


def test_what_the_work_returns_is_returned(database: Database) -> None:
    assert database.run(add_row) is None
    assert database.read(names) == ["web"]
    assert database.run(names) == ["web"]


def test_all_of_a_transaction_happens_or_nothing(database: Database) -> None:
    def fail(connection: Connection) -> None:
        add_row(connection)
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        database.run(fail)
    assert database.read(names) == []
    database.run(add_row)


def test_a_transaction_that_broke_a_rule_leaves_a_usable_connection(database: Database) -> None:
    database.run(add_row)
    with pytest.raises(StoreError, match="(?i)unique"):
        database.run(add_row)
    assert database.read(names) == ["web"]


def test_tables_are_made_once_and_keep_their_rows(database: Database) -> None:
    database.run(add_row)
    database.create_tables()
    assert database.read(names) == ["web"]


def test_a_secret_without_its_key_is_refused(database: Database) -> None:
    orphan = text("INSERT INTO key_secrets VALUES ('d', 'key_none', 'rk_', 'abcd', 1, NULL)")
    with pytest.raises(StoreError, match="(?i)foreign key"):
        database.run(lambda connection: connection.execute(orphan))


def test_no_error_shows_a_value_or_a_statement(database: Database) -> None:
    database.run(lambda connection: connection.execute(insert(keys).values({**ROW, "name": VALUE})))
    clash = insert(keys).values({**ROW, "id": "key_2", "name": VALUE})
    with pytest.raises(StoreError) as refusal:
        database.run(lambda connection: connection.execute(clash))
    assert VALUE not in str(refusal.value)
    assert "INSERT" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_sqlalchemy_itself_hides_the_values(database: Database) -> None:
    database.run(add_row)
    said: list[str] = []

    def clash(connection: Connection) -> None:
        try:
            connection.execute(insert(keys).values({**ROW, "name": VALUE}))
        except IntegrityError as error:
            said.append(f"{error.statement} {error}")
            raise

    with pytest.raises(StoreError):
        database.run(clash)
    assert "INSERT INTO keys" in said[0]
    assert VALUE not in said[0]


def test_a_path_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot make the database .*/file.*: (Not a directory|File exists)"):
        open_database(f"sqlite:///{tmp_path}/file/relay.db")


def test_another_kind_of_url_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="must begin with sqlite:/// or postgresql://"):
        open_database("mysql://relay@db/relay")


def test_reading_does_not_wait_for_a_writer_and_writing_does(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/relay.db")
    database.create_tables()
    writer = sqlite3.connect(tmp_path / "relay.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    assert seconds_of(lambda: database.read(names)) < 0.2
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(seconds_of, lambda: database.run(add_row))
        time.sleep(0.3)
        writer.execute("COMMIT")
        assert 0.25 < waiting.result(10) < 4
    writer.close()
    database.close()


def test_a_read_decided_on_in_a_transaction_is_still_true_when_it_writes(database: Database) -> None:
    """Two that count and then add: the second counts only when the first has committed."""
    lock = text("SELECT pg_advisory_xact_lock(1)")

    def add_the_next(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(lock)  # rows that do not exist yet cannot be locked there
        number = len(names(connection))
        time.sleep(0.02)
        connection.execute(insert(keys).values({**ROW, "id": f"key_{number}", "name": f"{number}"}))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: database.run(add_the_next), range(8)))
    assert sorted(database.read(names)) == sorted(f"{number}" for number in range(8))


def test_a_wrong_password_is_not_repeated(postgresql: Server) -> None:
    database = open_database(postgresql.url.replace(PASSWORD, "canary-wrong"))
    with pytest.raises(StoreError, match="password authentication failed") as refusal:
        database.create_tables()
    assert "canary-wrong" not in str(refusal.value)


def test_a_password_that_the_server_repeats_is_masked(postgresql: Server) -> None:
    database = open_database(postgresql.url)
    with pytest.raises(StoreError) as refusal:
        database.read(lambda connection: connection.exec_driver_sql(f'SELECT 1 FROM "{PASSWORD}"'))
    database.close()
    assert str(refusal.value) == 'database: relation "***" does not exist'


def test_no_server_is_a_store_error_with_the_address_and_without_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        port = taken.getsockname()[1]
        database = open_database(f"postgresql://relay:{PASSWORD}@127.0.0.1:{port}/relay")
        with pytest.raises(StoreError, match=f"port {port} failed: Connection refused") as refusal:
            database.create_tables()
    assert PASSWORD not in str(refusal.value)


def test_a_connection_that_the_server_ended_is_replaced(postgresql: Server) -> None:
    database = open_database(postgresql.url)
    process = database.read(lambda connection: connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    other = open_database(postgresql.url)
    end = text("SELECT pg_terminate_backend(:process, 5000)")
    other.run(lambda connection: connection.execute(end, {"process": process}))
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one()) == 1
    database.close()
    other.close()


def test_a_statement_of_postgresql_has_a_time_limit(postgresql: Server) -> None:
    database = open_database(postgresql.url)

    def limit(connection: Connection) -> object:
        return connection.exec_driver_sql("SHOW statement_timeout").scalar()

    assert [database.run(limit), database.read(limit)] == ["10s", "10s"]
    database.close()


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
