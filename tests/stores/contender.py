"""Run by test_processes.py: one of several processes that do the same to one database at the same moment.

Arguments: URL, verb, name, times. Waits for a line on standard input, then prints what came of each time, as JSON.
"""

import json
import sys
from collections.abc import Callable

from relay.core.keys import KeyPolicy
from relay.stores.database import open_database
from relay.stores.keys import KeyConflict, KeyStore

NOW = 2_000_000_000.0


def main(url: str, verb: str, name: str, times: str) -> None:
    database = open_database(url)
    store = KeyStore(database)
    deeds: dict[str, Callable[[], object]] = {
        "tables": database.create_tables,
        "create": lambda: store.create(name, KeyPolicy())[1],
        "rotate": lambda: store.rotate(name, 0, NOW),
        "revoke": lambda: store.revoke(name, NOW),
    }
    database.read(lambda connection: None)  # connected already, so that the deed alone comes after the signal
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps([_outcome(deeds[verb]) for _ in range(int(times))]))


def _outcome(deed: Callable[[], object]) -> object:
    try:
        return deed()
    except KeyConflict as conflict:
        return str(conflict)


if __name__ == "__main__":
    main(*sys.argv[1:])
