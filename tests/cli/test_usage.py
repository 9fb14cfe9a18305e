"""`python -m relay usage`: what it sums up, how it shows it, and its exit status."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from relay.core.keys import KeyPolicy
from relay.stores.database import open_database
from relay.stores.keys import KeyStore
from relay.stores.ledger import Ledger
from tests.entries import entry

Call = Callable[..., Result]
NOW = 1_800_014_400.0  # 2027-01-15 12:00 UTC
HOUR, DAY = 3_600, 86_400
ONE = {
    "requests": 1, "errors": 0, "input_tokens": 10, "output_tokens": 20, "cost_usd": 0.25, "cost_unknown": 0,
}  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    database = open_database(f"sqlite:///{tmp_path}/relay.db")
    database.create_tables()
    yield Ledger(database)
    database.close()


@pytest.fixture
def ids(store: KeyStore) -> dict[str, str]:
    """Two keys: their ids by their names."""
    return {name: store.create(name, KeyPolicy())[0].id for name in ("web", "app")}


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.fixture
def tokyo() -> Iterator[None]:
    """The machine's zone is nine hours ahead of UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def shown(call: Call) -> Callable[..., dict[str, Any]]:
    """What the verb prints as JSON."""

    def shown(*arguments: str) -> dict[str, Any]:
        result = call("usage", "--json", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        printed: dict[str, Any] = json.loads(result.stdout)
        return printed

    return shown


Shown = Callable[..., dict[str, Any]]


def test_each_key_has_its_sums_and_all_have_theirs(shown: Shown, ledger: Ledger, ids: dict[str, str]) -> None:
    ledger.write([
        entry(0, key_id=ids["web"], begun_at=NOW),
        entry(1, key_id=ids["app"], begun_at=NOW),
        entry(2, key_id=ids["app"], begun_at=NOW, status=429, upstream=None, input_tokens=None, output_tokens=None,
              cost_usd=None),
        entry(3, key_id=ids["app"], begun_at=NOW, cost_usd=None),
    ])  # fmt: skip
    apps = {"requests": 3, "errors": 1, "input_tokens": 20, "output_tokens": 40, "cost_usd": 0.25, "cost_unknown": 1}
    alls = {"requests": 4, "errors": 1, "input_tokens": 30, "output_tokens": 60, "cost_usd": 0.5, "cost_unknown": 1}
    assert shown() == {
        "since": "2026-12-16T12:00:00+00:00",
        "rows": [{"key": "app", **apps}, {"key": "web", **ONE}],
        "total": alls,
    }


def test_one_key_may_be_picked(shown: Shown, ledger: Ledger, ids: dict[str, str]) -> None:
    ledger.write([entry(0, key_id=ids["web"]), entry(1, key_id=ids["app"]), entry(2, key_id=ids["app"])])
    picked = shown("--key", "web")
    assert (picked["rows"], picked["total"]) == ([{"key": "web", **ONE}], ONE)
    assert shown("--key", "app", "--by", "model")["rows"][0]["requests"] == 2


@pytest.mark.usefixtures("tokyo")
def test_models_and_days_are_other_ways_to_cut_it(shown: Shown, ledger: Ledger) -> None:
    ledger.write([entry(0, model="a"), entry(1, model=None, begun_at=NOW - DAY)])
    assert shown("--by", "model")["rows"] == [{"model": None, **ONE}, {"model": "a", **ONE}]
    assert shown("--by", "day")["rows"] == [{"day": "2027-01-14", **ONE}, {"day": "2027-01-15", **ONE}]


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize(
    ("since", "requests"),
    [
        ("1h", 1), ("2h", 2), ("1d", 2), ("31d", 3), ("0", 0), ("999999d", 3),
        ("2027-01-15T10:30:00Z", 1), ("2027-01-15T10:30", 1), ("2027-01-15T12:00:00+02:00", 2), ("2027-01-15", 2),
        ("0001-01-01T00:00:00+14:00", 3),
    ],
)  # fmt: skip
def test_the_beginning_may_be_a_span_or_a_date(shown: Shown, ledger: Ledger, since: str, requests: int) -> None:
    ledger.write([entry(n, begun_at=NOW - ago) for n, ago in enumerate((HOUR, 2 * HOUR, 31 * DAY))])
    assert shown("--since", since)["total"]["requests"] == requests


def test_it_is_thirty_days_where_nothing_is_said(shown: Shown, ledger: Ledger) -> None:
    ledger.write([entry(0, begun_at=NOW - 30 * DAY), entry(1, begun_at=NOW - 30 * DAY - 1)])
    assert shown()["total"]["requests"] == 1


def test_the_table_says_the_same(call: Call, ledger: Ledger, ids: dict[str, str]) -> None:
    ledger.write([entry(n, key_id=ids["web"], input_tokens=5_000, cost_usd=600.5) for n in range(2)])
    ledger.write([entry(2, key_id=ids["app"], end="stall", cost_usd=None)])
    head, *lines = call("usage").stdout.splitlines()
    assert head.split() == ["key", "requests", "errors", "tokens", "in", "tokens", "out", "USD", "unknown"]
    assert [line.split() for line in lines] == [
        ["app", "1", "1", "10", "20", "0.0000", "1"],
        ["web", "2", "0", "10,000", "40", "1,201.0000", "0"],
        ["total", "3", "1", "10,010", "60", "1,201.0000", "1"],
    ]


def test_a_model_is_shown_as_it_is(call: Call, ledger: Ledger) -> None:
    ledger.write([entry(0, model="[red]x[/] 漢字"), entry(1, model=None)])
    table = call("usage", "--by", "model").stdout
    assert "[red]x[/] 漢字" in table
    assert "\nnone " in table


def test_nothing_used_is_a_table_too(call: Call) -> None:
    assert call("usage").stdout.splitlines()[1].split() == ["total", "0", "0", "0", "0", "0.0000", "0"]


def test_an_unknown_key_fails(call: Call) -> None:
    refused = call("usage", "--key", "nobody")
    assert (refused.exit_code, refused.stdout, refused.stderr) == (1, "", "Error: no key is named 'nobody'\n")


@pytest.mark.parametrize(
    "arguments",
    [("--by", "hour"), ("--since", "soon"), ("--since", ""), ("--since", "2999-01-01"), ("--since", "1w"), ("web",)],
)
def test_a_wrong_call_is_told_apart_from_a_failure(call: Call, arguments: tuple[str, ...]) -> None:
    result = call("usage", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_database_that_cannot_be_opened_fails(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/file/relay.db")
    refused = call("usage")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: cannot make the database")


def test_a_bad_configuration_fails(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_LIMITS__RPM", "many")
    refused = call("usage")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "rpm" in refused.stderr


def test_the_verb_works_as_a_program(
    program: Callable[..., subprocess.CompletedProcess[str]], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    asked = program("usage", "--json")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert json.loads(asked.stdout)["total"]["requests"] == 0
    assert "\n  usage " in program("--help").stdout
