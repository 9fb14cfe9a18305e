"""The databases that the stores are tested on: an SQLite file, and a PostgreSQL server of our own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.stores.database import Database, open_database
from relay.stores.keys import KeyStore
from tests.stores.postgresql_server import Server, installed, serving

SKIPPED = "POSTGRESQL IS NOT TESTED: no server below /usr/lib/postgresql; on Debian: apt-get install postgresql"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    programs = installed()
    if programs is None:
        pytest.skip(SKIPPED)
    with serving(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/relay.db"
    server: Server = request.getfixturevalue("postgresql")
    return server.fresh_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url)
    opened.create_tables()
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)
