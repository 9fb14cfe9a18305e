"""One database, SQLite or PostgreSQL: work is handed in, and runs wherever `run` takes it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from relay.stores.engines import build_engine
from relay.stores.schema import metadata

P = ParamSpec("P")
T = TypeVar("T")

# How a transaction that writes begins, and how it waits for others that make the same tables. SQLite: taking the
# write lock first means that what is read cannot change before it is written, and that a wait is possible at all.
BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": ""}
LOCK_TABLES = {"sqlite": "", "postgresql": "SELECT pg_advisory_xact_lock(7243921)"}


class StoreError(Exception):
    """The database refused or cannot be reached. The text is one line, without SQL, its values, or the password."""


class Runner(Protocol):
    """Calls `work` with the arguments, here or in a native thread, and returns or raises what it does."""

    def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...


def call_directly(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The Runner of the command line: no thread."""
    return work(*args, **kwargs)


def open_database(url: str, run: Runner = call_directly) -> "Database":
    """Open sqlite:///path (relative to the checkout) or postgresql://…; the first use connects.

    Raises StoreError for another URL, a file that cannot be made, or a driver that is not installed.
    """
    try:
        return Database(build_engine(url), run)
    except OSError as problem:
        raise StoreError(f"cannot make the database {problem.filename}: {problem.strerror}") from None
    except (ValueError, ImportError) as problem:
        raise StoreError(str(problem)) from None


class Database:
    """Every method raises StoreError for whatever the database does not do.

    Under gevent the work runs in native threads: it must not log, wait for a greenlet, or take a lock.
    """

    def __init__(self, engine: Engine, run: Runner) -> None:
        self._engine = engine
        self._reader = _reader_of(engine)
        self._run = run
        self._opening = Lock()
        self._opened = False
        self._failures, self._failure = 0, ""

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return work(connection), in one transaction: all of it happens, or, when it raises, nothing."""
        self._open()
        return self._run(self._write, work)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return work(connection) for a single SELECT: it waits for no writer, and nothing holds several together."""
        self._open()
        return self._run(self._read, work)

    def create_tables(self) -> None:
        """Make the tables that are missing, as the first use does too; several processes may do it at once."""
        self._open()

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    def _open(self) -> None:
        """Connect once alone: SQLAlchemy takes locks then, which native threads must not fight over under gevent.

        A database that has its tables is not written to: its disk may be full.
        """
        if self._opened:
            return
        failures = self._failures
        with self._opening:
            if self._failures != failures:  # the attempt that this one waited for; each would take as long
                raise StoreError(self._failure)
            if not self._opened:
                self._create_where_missing()
                self._opened = True

    def _create_where_missing(self) -> None:
        try:
            if self._run(self._read, _lacks_tables):
                self._run(self._write, self._create_missing)
        except StoreError as error:
            self._failures, self._failure = self._failures + 1, str(error)
            raise

    def _write(self, work: Callable[[Connection], T]) -> T:
        with self._translated(), self._engine.begin() as connection:
            self._execute(connection, BEGIN)
            return work(connection)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._translated(), self._reader.connect() as connection:
            return work(connection)

    def _create_missing(self, connection: Connection) -> None:
        self._execute(connection, LOCK_TABLES)
        metadata.create_all(connection)

    def _execute(self, connection: Connection, statements: dict[str, str]) -> None:
        statement = statements[self._engine.dialect.name]
        if statement:
            connection.exec_driver_sql(statement)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as error:
            raise StoreError(self._explain(error)) from None

    def _explain(self, error: Exception) -> str:
        cause = getattr(error, "orig", None) or error
        # PostgreSQL's later lines quote values
        text = str(cause).partition("\n")[0] or type(cause).__name__
        for password in (self._engine.url.password, self._engine.url.query.get("password")):
            text = text.replace(str(password), "***") if password else text
        return f"database: {text}"


def _lacks_tables(connection: Connection) -> bool:
    return not set(metadata.tables) <= set(inspect(connection).get_table_names())


def _reader_of(engine: Engine) -> Engine:
    """The same connections without transactions, which PostgreSQL would need two more round trips for."""
    if engine.dialect.name == "sqlite":
        return engine  # it has none before a BEGIN
    return engine.execution_options(isolation_level="AUTOCOMMIT")
