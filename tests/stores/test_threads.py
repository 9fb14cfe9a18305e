"""The store under gevent: SQL waits in native threads, and the loop goes on. Each in a process of its own: patched."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from relay.core.keys import KeyPolicy, digest
from relay.stores.database import open_database
from relay.stores.keys import KeyStore
from tests.stores.postgresql_server import Server

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 100
HELD_SECONDS = 0.6
# the work itself holds up a busy machine for 30 ms; on the loop it would be the whole 600
PAUSE_SECONDS_MAX = 0.3


def test_two_thousand_look_ups_at_once_all_succeed(url: str, store: KeyStore) -> None:
    _, secret = store.create("web", KeyPolicy())
    seen = _finish(_start(url, digest(secret), "look_up_at_once"))
    assert seen["result"] == 2000
    assert seen["pause_seconds"] < PAUSE_SECONDS_MAX


def test_a_database_first_used_by_many_at_once_does_not_stand_still(url: str, store: KeyStore) -> None:
    _, secret = store.create("web", KeyPolicy())
    assert _finish(_start(url, digest(secret), "begin_at_once"))["result"] == 50


def test_another_process_with_the_write_lock_does_not_stop_the_loop(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/relay.db"
    database = open_database(url)
    database.create_tables()
    KeyStore(database).create("web", KeyPolicy())
    database.close()
    holder = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    process = _start(url, "-", "write_behind_a_lock")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(HELD_SECONDS)
    holder.execute("COMMIT")
    seen = _finish(process)
    holder.close()
    assert HELD_SECONDS - 0.1 < seen["result"] < 3
    assert seen["pause_seconds"] < PAUSE_SECONDS_MAX


def test_a_slow_query_of_postgresql_does_not_stop_the_loop(postgresql: Server) -> None:
    seen = _finish(_start(postgresql.url, "-", "sleep_in_postgresql"))
    assert HELD_SECONDS <= seen["result"] < 3
    assert seen["pause_seconds"] < PAUSE_SECONDS_MAX


def test_a_host_name_is_resolved_in_a_native_thread_too(postgresql: Server) -> None:
    by_name = postgresql.url.replace("127.0.0.1", "localhost")
    assert _finish(_start(by_name, "-", "sleep_in_postgresql"))["result"] >= HELD_SECONDS


def _start(url: str, key_digest: str, deed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.stores.under_gevent", url, key_digest, deed]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        output, _ = process.communicate(timeout=SECONDS_MAX)
    finally:
        process.kill()
        process.wait()
    seen: dict[str, Any] = json.loads(output)
    return seen
