"""Run by test_threads.py: the store as the server uses it, in native threads of a patched process.

Arguments: URL, the digest of a key, and what to do. Prints what was seen as JSON.
"""

# ruff: noqa: E402, I001
from gevent import monkey

monkey.patch_all()

import json
import sys
import time
from collections.abc import Callable

import gevent
from gevent.pool import Pool

from relay.loop import Loop
from relay.stores.database import Database, open_database
from relay.stores.keys import KeyStore

SECONDS_MAX = 60
TICK_SECONDS = 0.005
LOOKUPS = 2000
ROUNDS = 50
NOW = 1_000_000_000.0


def look_up_at_once(database: Database, digest: str) -> object:
    """Thousands of greenlets, one pool of threads."""
    store = KeyStore(database)
    found = Pool(LOOKUPS).map(lambda _: store.find(digest, NOW), range(LOOKUPS))
    return len([record for record in found if record is not None])


def write_behind_a_lock(database: Database, digest: str) -> object:
    """Another process holds SQLite's write lock, and lets it go a while after it was told that we wait."""
    store = KeyStore(database)
    [record] = store.list()
    print("waiting", flush=True)
    begun = time.monotonic()
    store.revoke(record.name, NOW)
    return time.monotonic() - begun


def sleep_in_postgresql(database: Database, digest: str) -> object:
    begun = time.monotonic()
    database.read(lambda connection: connection.exec_driver_sql("SELECT pg_sleep(0.6)"))
    return time.monotonic() - begun


def begin_at_once(database: Database, digest: str) -> object:
    """Many databases, each used for the first time by many greenlets: SQLAlchemy's locks must not stand still."""
    sys.setswitchinterval(1e-5)
    for _ in range(ROUNDS):
        fresh = open_database(sys.argv[1], LOOP.in_thread)
        stores = [gevent.spawn(KeyStore(fresh).find, digest, NOW) for _ in range(16)]
        gevent.joinall(stores, raise_error=True)
        fresh.close()
    return ROUNDS


def worst_pause(work: Callable[[], object]) -> tuple[object, float]:
    """Return what the work returns, and the longest time in seconds that the loop stood still meanwhile."""
    pauses = [0.0]
    ticker = gevent.spawn(_tick, pauses)
    with gevent.Timeout(SECONDS_MAX):
        result = work()
    ticker.kill()
    return result, max(pauses)


def _tick(pauses: list[float]) -> None:
    while True:
        begun = time.monotonic()
        gevent.sleep(TICK_SECONDS)
        pauses.append(time.monotonic() - begun - TICK_SECONDS)


def _report(name: str, error: BaseException) -> None:
    raise AssertionError(name) from error


LOOP = Loop(_report)

if __name__ == "__main__":
    url, digest, deed = sys.argv[1:]
    opened = open_database(url, LOOP.in_thread)
    result, pause = worst_pause(lambda: globals()[deed](opened, digest))
    opened.close()
    print(json.dumps({"result": result, "pause_seconds": pause}))
