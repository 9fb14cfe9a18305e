"""`python -m relay keys`: what it prints where, what it leaves in the store, and its exit status."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from relay.core.keys import KeyPolicy, digest, is_well_formed
from relay.stores.keys import KeyStore

Call = Callable[..., Result]
Program = Callable[..., subprocess.CompletedProcess[str]]
DEFAULTS = KeyPolicy(rpm=60, concurrent=5)
DAY = 86_400


def test_the_whole_life_of_a_key_as_a_program(program: Program, store: KeyStore) -> None:
    created = program("keys", "create", "web", "--rpm", "5")
    key = created.stdout.removesuffix("\n")
    assert (created.returncode, is_well_formed(key)) == (0, True)
    assert key not in created.stderr
    rotated = program("keys", "rotate", "web", "--overlap", "0")
    new = rotated.stdout.removesuffix("\n")
    assert (rotated.returncode, is_well_formed(new)) == (0, True)
    assert [bool(store.find(digest(text), time.time())) for text in (key, new)] == [False, True]
    shown = program("keys", "show", "web", "--json")
    assert json.loads(shown.stdout)["policy"]["rpm"] == 5
    assert program("keys", "revoke", "web").returncode == 0
    assert store.find(digest(new), time.time()) is None
    listed = program("keys", "list")
    assert "revoked" in listed.stdout
    assert not any(text in shown.stdout + listed.stdout for text in (key, new, key[3:15], new[-12:]))


def test_a_refusal_is_one_line_and_no_traceback(program: Program) -> None:
    refused = program("keys", "show", "nobody")
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", "Error: no key is named 'nobody'\n")


def test_help_lists_the_verbs_without_a_database(program: Program, tmp_path: Path) -> None:
    asked = program("--help")
    assert asked.returncode == 0
    assert "\n  keys " in asked.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_key_gets_the_limits_of_the_settings(call: Call, store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("keys", "create", "plain").exit_code == 0
    assert store.get("plain").policy == DEFAULTS
    assert store.get("plain").expires_at is None
    monkeypatch.setenv("RELAY_LIMITS__RPM", "7")
    monkeypatch.setenv("RELAY_LIMITS__BUDGET_USD", "2.5")
    monkeypatch.setenv("RELAY_LIMITS__BUDGET_PER", "day")
    assert call("keys", "create", "other").exit_code == 0
    assert store.get("other").policy == KeyPolicy(rpm=7, concurrent=5, budget_usd=2.5, budget_per="day")


def test_every_option_arrives(call: Call, store: KeyStore) -> None:
    limits = ("--rpm", "0", "--concurrent", "3", "--tpm", "1000", "--budget-usd", "0.5", "--per", "day")
    scope = (
        "--model",
        "gpt-4.1",
        "--model",
        "demo",
        "--origin",
        "https://a.example",
        "--origin",
        "http://localhost:3000",
    )
    rest = ("--max-output-tokens", "99", "--resume", "--detach", "finish", "--expires", "30d")
    assert call("keys", "create", "web", *limits, *scope, *rest).exit_code == 0
    record = store.get("web")
    assert record.policy == KeyPolicy(
        rpm=0,
        concurrent=3,
        tpm=1000,
        budget_usd=0.5,
        budget_per="day",
        models=("gpt-4.1", "demo"),
        origins=("https://a.example", "http://localhost:3000"),
        max_output_tokens=99,
        resume=True,
        detach="finish",
    )
    assert record.expires_at == pytest.approx(time.time() + 30 * DAY, abs=60)


def test_a_name_that_is_taken_fails(call: Call) -> None:
    assert call("keys", "create", "web").exit_code == 0
    again = call("keys", "create", "web")
    assert (again.exit_code, again.stdout, again.stderr) == (1, "", "Error: the name 'web' is taken\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys",),
        ("keys", "create"),
        ("keys", "create", ""),
        ("keys", "create", " web"),
        ("keys", "create", "we\nb"),
        ("keys", "create", "w" * 65),
        ("keys", "create", "web", "--rpm", "-1"),
        ("keys", "create", "web", "--rpm", "many"),
        ("keys", "create", "web", "--budget-usd", "nan"),
        ("keys", "create", "web", "--budget-usd", "inf"),
        ("keys", "create", "web", "--per", "year"),
        ("keys", "create", "web", "--model", ""),
        ("keys", "create", "web", "--origin", "*"),
        ("keys", "create", "web", "--origin", "null"),
        ("keys", "create", "web", "--origin", "https://app.example/"),
        ("keys", "create", "web", "--detach", "never"),
        ("keys", "create", "web", "--expires", "2020-01-01"),
        ("keys", "rotate", "web", "--overlap", "soon"),
        ("keys", "rotate", "web", "--overlap", "-1h"),
        ("keys", "burn", "web"),
        ("kyes",),
    ],
)
def test_a_wrong_call_is_told_apart_from_a_failure(call: Call, store: KeyStore, arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert store.list() == ()


def test_rotating_leaves_the_old_key_a_day(call: Call, store: KeyStore) -> None:
    old = call("keys", "create", "web").stdout.strip()
    new = call("keys", "rotate", "web").stdout.strip()
    now = time.time()
    assert [bool(store.find(digest(key), now + DAY - 60)) for key in (old, new)] == [True, True]
    assert [bool(store.find(digest(key), now + DAY + 60)) for key in (old, new)] == [False, True]


def test_revoking_twice_is_done_and_rotating_then_fails(call: Call) -> None:
    call("keys", "create", "web")
    assert [call("keys", "revoke", "web").exit_code for _ in range(2)] == [0, 0]
    refused = call("keys", "rotate", "web")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "'web' is revoked" in refused.stderr


@pytest.mark.parametrize("verb", ["show", "rotate", "revoke"])
def test_an_unknown_name_fails(call: Call, verb: str) -> None:
    refused = call("keys", verb, "nobody")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "no key is named 'nobody'" in refused.stderr


def test_a_bad_configuration_fails_with_all_its_problems(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_LIMITS__RPM", "many")
    monkeypatch.setenv("RELAY_LIMITS__CONCURRENT", "-1")
    refused = call("keys", "list")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "rpm" in refused.stderr
    assert "concurrent" in refused.stderr


def test_a_database_that_cannot_be_opened_fails(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/file/relay.db")
    refused = call("keys", "list")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: cannot make the database")
