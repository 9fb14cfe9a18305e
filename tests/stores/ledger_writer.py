"""Run by test_ledger_killed.py: lives that write to one ledger as fast as they can, each ended by kill -9.

Arguments: URL, number of lives. Prints for each life, as JSON: how many entries it had entered at the beginning of its
turns, the last two of them, and how many the end of a turn had told to be written.
"""

import json
import os
import random
import signal
import sys
import time
from typing import NoReturn

from relay.bookkeeping import Bookkeeper
from relay.stores.database import open_database
from relay.stores.ledger import Ledger
from tests.entries import entry

ENTRIES_A_TURN = 200
SECONDS_MAX = 0.12
SECONDS_TO_BEGIN_MAX = 20


def main(url: str, lives: int) -> None:
    print(json.dumps([_live(url, f"key_{number}") for number in range(lives)]))


def _live(url: str, key_id: str) -> dict[str, object]:
    """Forked, so that a life costs no start; nothing has been opened before."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        signal.alarm(SECONDS_TO_BEGIN_MAX)
        _write_until_killed(url, key_id, writer)
    os.close(writer)
    with os.fdopen(reader) as said:
        lines = [said.readline()]  # it has begun
        time.sleep(random.uniform(0, SECONDS_MAX))
        os.kill(process, signal.SIGKILL)
        lines += said.readlines()
    os.waitpid(process, 0)
    return _told([line.split() for line in lines if line.endswith("\n")])


def _told(words: list[list[str]]) -> dict[str, object]:
    begun = [int(count) for word, count in words if word == "begun"]
    written = [int(count) for word, count in words if word == "written"]
    return {"begun": [0, *begun][-2:], "written": [0, *written][-1]}


def _write_until_killed(url: str, key_id: str, writer: int) -> NoReturn:
    database = open_database(url)
    keeper = Bookkeeper(Ledger(database).write, lambda where, error: os.abort())
    entered = 0
    while True:
        for number in range(entered, entered + ENTRIES_A_TURN):
            keeper.enter(entry(number, key_id=key_id))
        entered += ENTRIES_A_TURN
        os.write(writer, f"begun {entered}\n".encode())
        keeper.flush()
        os.write(writer, f"written {entered}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
