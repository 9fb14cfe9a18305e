"""kill -9 in the middle of writing: what was committed is there, and of the rest nothing or all of one turn."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from relay.stores.database import Database
from relay.stores.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
LIVES = 20
SECONDS_MAX = 90


def test_a_process_that_is_killed_loses_its_last_turn_at_most(url: str, database: Database) -> None:
    lives = _live(url)
    kept = [Ledger(database).sums(0, f"key_{number}").requests for number in range(LIVES)]
    for rows, life in zip(kept, lives, strict=True):
        assert rows >= life["written"]
        assert rows in life["begun"]
    assert sum(kept) > 0
    # the kills came in the midst of it: of most lives the last turn was not told to be written
    assert sum(life["begun"][-1] > life["written"] for life in lives) > LIVES // 2
    if url.startswith("sqlite"):
        _check_file(url.removeprefix("sqlite:///"))


def _live(url: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-W", "error", "-m", "tests.stores.ledger_writer", url, str(LIVES)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=SECONDS_MAX)
    lives: list[dict[str, Any]] = json.loads(done.stdout)
    return lives


def _check_file(path: str) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
