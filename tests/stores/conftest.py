"""What the stores are tested on: an SQLite file, a PostgreSQL server of our own, memory, and a Redis of our own."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.stores.database import Database, open_database
from relay.stores.keys import KeyStore
from relay.stores.redis_link import RedisLink, StoreDown
from relay.stores.shared import Limits, SharedLimits, Slots, open_limits
from tests.stores import redis_server
from tests.stores.postgresql_server import Server, installed, serving

SKIPPED = "POSTGRESQL IS NOT TESTED: no server below /usr/lib/postgresql; on Debian: apt-get install postgresql"

REDIS_SKIPPED = "REDIS IS NOT TESTED: no redis-server; on Debian: apt-get install redis-server"
# What a budget of 50 ms means is tested by itself; elsewhere a busy machine must not decide.
PATIENT_SECONDS = 5.0
ECHO = ("ECHO", "x")


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


@pytest.fixture(scope="session")
def running_redis() -> Iterator[redis_server.RedisServer]:
    if not redis_server.installed():
        pytest.skip(REDIS_SKIPPED)
    with redis_server.serving() as server:
        yield server


@pytest.fixture
def redis(running_redis: redis_server.RedisServer) -> redis_server.RedisServer:
    """An empty Redis that goes on running."""
    running_redis.client.flushall()
    return running_redis


@pytest.fixture
def own_redis() -> Iterator[redis_server.RedisServer]:
    """A Redis that the test may kill."""
    if not redis_server.installed():
        pytest.skip(REDIS_SKIPPED)
    with redis_server.serving() as server:
        yield server


@pytest.fixture
def link(redis: redis_server.RedisServer) -> Iterator[RedisLink]:
    """A patient link to an empty Redis."""
    opened = RedisLink(redis.url, no_failure, PATIENT_SECONDS)
    opened.mend()
    yield opened
    opened.close()


@pytest.fixture
def other_link(redis: redis_server.RedisServer) -> Iterator[RedisLink]:
    """Another process' link."""
    opened = RedisLink(redis.url, no_failure, PATIENT_SECONDS)
    opened.mend()
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "redis"])
def limits(request: pytest.FixtureRequest) -> Iterator[Limits]:
    """Limits that hold nothing yet, of either kind."""
    if request.param == "memory":
        yield open_limits("", 1, "deny", no_failure)
        return
    opened = SharedLimits(request.getfixturevalue("link"), 1, "deny")
    yield opened
    assert not opened.degraded


def no_failure(where: str, error: BaseException) -> None:
    """What the stores report to where nothing may fail."""
    raise AssertionError(where) from error


def take(slots: Slots, key_id: str = "a", slots_max: int = 0) -> str:
    """Take a slot that must be free; return its lease."""
    lease = slots.acquire(key_id, slots_max)
    assert lease is not None
    return lease


class Reports(list[str]):
    """What the link told, by the kind of the error."""

    def __call__(self, where: str, error: BaseException) -> None:
        assert where == "redis"
        self.append(type(error).__name__)


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def up(reports: Reports) -> Iterator[Callable[[str], RedisLink]]:
    """Open a link that is up, with the budget of production."""
    opened: list[RedisLink] = []

    def up(url: str) -> RedisLink:
        opened.append(RedisLink(url, reports))
        assert opened[-1].mend() is not None
        return opened[-1]

    yield up
    for link in opened:
        link.close()


def failing_seconds(link: RedisLink) -> float:
    """How long it takes to learn that Redis is down."""
    begun = time.monotonic()
    with pytest.raises(StoreDown):
        link.ask(ECHO)
    return time.monotonic() - begun
