"""Several processes on one database at once, as workers and the command line are."""

import json
import subprocess
import sys
from pathlib import Path

from sqlalchemy import inspect

from relay.core.keys import KeyPolicy, digest, is_well_formed
from relay.stores.database import Database, open_database
from relay.stores.keys import KeyStore

ROOT = Path(__file__).resolve().parents[2]
NOW = 2_000_000_000.0
SECONDS_MAX = 60


def contend(url: str, *deeds: tuple[str, str, int]) -> list[list[str]]:
    """Start one process for each deed (verb, name, times), let all go at once, return what came of each."""
    processes = [_start(url, *map(str, deed)) for deed in deeds]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [json.loads(process.communicate(timeout=SECONDS_MAX)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_tables_that_several_processes_make_at_once_are_made_once(url: str) -> None:
    assert contend(url, *[("tables", "-", 3)] * 6) == [[None] * 3] * 6
    database = open_database(url)
    made = database.read(lambda connection: inspect(connection).get_table_names())
    database.close()
    assert sorted(made) == ["budgets", "key_secrets", "keys", "reservations", "revoked_tokens", "usage"]


def test_one_name_is_given_to_one_process(url: str, store: KeyStore) -> None:
    outcomes = [outcome for [outcome] in contend(url, *[("create", "web", 1)] * 4)]
    secrets = [outcome for outcome in outcomes if is_well_formed(outcome)]
    assert len(secrets) == 1
    assert outcomes.count("the name 'web' is taken") == 3
    assert store.find(digest(secrets[0]), NOW) == store.get("web")


def test_of_all_keys_that_two_processes_rotated_in_one_holds(url: str, store: KeyStore, database: Database) -> None:
    _, first = store.create("web", KeyPolicy())
    outcomes = contend(url, ("rotate", "web", 20), ("rotate", "web", 20))
    secrets = [first, *outcomes[0], *outcomes[1]]
    assert len(set(secrets)) == 41
    held = [secret for secret in secrets if store.find(digest(secret), NOW)]
    assert len(held) == 1
    assert (store.get("web").prefix, store.get("web").last4) == (held[0][:7], held[0][-4:])


def test_no_rotation_outlives_a_revocation(url: str, store: KeyStore) -> None:
    store.create("web", KeyPolicy())
    rotated, revoked = contend(url, ("rotate", "web", 20), ("revoke", "web", 1))
    assert revoked == [None]
    assert [secret for secret in rotated if store.find(digest(secret), NOW)] == []
    assert store.get("web").revoked_at == NOW


def _start(url: str, verb: str, name: str, times: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.stores.contender", url, verb, name, times]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
