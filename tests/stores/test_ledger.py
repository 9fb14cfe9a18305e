"""The ledger's rows and their sums, on both databases."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from relay.core.entry import Entry, entry_of
from relay.core.keys import KeyPolicy
from relay.core.usage import TOKENS_MAX, Usage
from relay.stores.database import Database, StoreError, open_database
from relay.stores.keys import KeyStore
from relay.stores.ledger import GROUPS, Ledger, Sums
from relay.stores.schema import usage
from tests.core.test_entry import ENDED_AT, TIMES, told
from tests.entries import DAY, NOON, entries, entry

MIDNIGHT = NOON - DAY / 2
NOTHING = Sums(0, 0, 0, 0, 0.0, 0)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def rows(database: Database) -> list[dict[str, Any]]:
    query = select(usage).order_by(usage.c.begun_at, usage.c.request_id)
    return [dict(row) for row in database.read(lambda connection: connection.execute(query).mappings().all())]


def test_an_entry_is_kept_as_it_is(ledger: Ledger, database: Database) -> None:
    known = entry(begun_at=NOON + 0.123456)
    unknown = entry(
        1, begun_at=NOON + 1, model=None, upstream=None, input_tokens=None, output_tokens=None, cost_usd=None,
        ttft_ms=None,
    )  # fmt: skip
    ledger.write([known, unknown])
    assert rows(database) == [msgspec.structs.asdict(known), msgspec.structs.asdict(unknown)]


def test_nothing_can_be_written_too(ledger: Ledger, database: Database) -> None:
    ledger.write([])
    assert rows(database) == []


def test_entries_that_are_there_already_are_left_as_they_are(ledger: Ledger, database: Database) -> None:
    ledger.write(entries(3))
    ledger.write([*entries(5), entry(2, status=500), entry(4, status=500)])
    assert [row["request_id"] for row in rows(database)] == [f"req_{number}" for number in range(5)]
    assert {row["status"] for row in rows(database)} == {200}


def test_requests_that_a_caller_gave_the_same_id_are_all_counted(ledger: Ledger) -> None:
    ledger.write([entry(0), entry(0, begun_at=NOON + 0.001), entry(0, key_id="key_2")])
    assert ledger.sums(0).requests == 3


def test_a_batch_that_breaks_a_rule_leaves_no_row(ledger: Ledger, database: Database) -> None:
    with pytest.raises(StoreError):
        ledger.write([entry(0), entry(1, route=None), entry(2)])
    assert rows(database) == []


def test_a_thousand_entries_are_one_transaction(
    ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions: list[object] = []
    run = database.run
    monkeypatch.setattr(database, "run", lambda work: transactions.append(run(work)))
    ledger.write(entries(1000))
    assert len(transactions) == 1
    assert ledger.sums(0).requests == 1000


def test_sums_are_of_what_is_known(ledger: Ledger) -> None:
    ledger.write([
        entry(0, input_tokens=1, output_tokens=2, cost_usd=0.5),
        entry(1, input_tokens=30, output_tokens=None, cost_usd=None),
        entry(2, input_tokens=None, output_tokens=400, cost_usd=0.25),
    ])  # fmt: skip
    assert ledger.sums(0) == Sums(3, 0, 31, 402, 0.75, 1)


def test_an_empty_ledger_sums_up_to_nothing(ledger: Ledger) -> None:
    assert ledger.sums(0) == NOTHING
    assert [ledger.sums_by(group, 0) for group in GROUPS] == [{}, {}, {}]


def test_an_error_is_what_was_refused_failed_or_cut_but_not_what_was_left(ledger: Ledger) -> None:
    fine = [(200, "done"), (204, "done"), (304, "done"), (399, "done"), (200, "client_gone"), (499, "client_gone")]
    bad = [(400, "done"), (429, "done"), (503, "shed"), (0, "done"), (200, "truncated"), (200, "stall")]
    ledger.write([entry(model=f"{status} {end}", status=status, end=end, begun_at=NOON + at)
                  for at, (status, end) in enumerate(fine + bad)])  # fmt: skip
    errors = {model for model, sums in ledger.sums_by("model", 0).items() if sums.errors}
    assert errors == {f"{status} {end}" for status, end in bad}


def test_an_answer_whose_cost_is_missing_in_the_sum_is_counted(ledger: Ledger) -> None:
    cases: dict[str, dict[str, Any]] = {
        "no price": {},
        "no usage": {"input_tokens": None, "output_tokens": None},
        "left": {"end": "client_gone"},
        "known": {"cost_usd": 0.0},
        "refused": {"status": 429, "upstream": None},
        "failed": {"status": 500},
        "our own": {"upstream": None, "route": "/v1/usage"},
        "not billed": {"route": "/v1/models"},
    }
    ledger.write([entry(n, **{"model": name, "cost_usd": None, **cases[name]}) for n, name in enumerate(cases)])
    unknown = {model: sums.cost_unknown for model, sums in ledger.sums_by("model", 0).items()}
    assert {model for model, count in unknown.items() if count} == {"no price", "no usage", "left"}
    assert ledger.sums(0).cost_unknown == 3


def test_sums_begin_with_the_moment_that_was_asked_for(ledger: Ledger) -> None:
    ledger.write([entry(0, begun_at=NOON - 0.001), entry(1), entry(2, begun_at=NOON + 9)])
    assert ledger.sums(NOON).requests == 2
    assert sum(sums.requests for sums in ledger.sums_by("day", NOON).values()) == 2


def test_a_key_is_asked_for_its_own(ledger: Ledger) -> None:
    ledger.write([entry(0), entry(1, key_id="key_2", input_tokens=7), entry(2, key_id="key_2")])
    assert ledger.sums(0, "key_2") == Sums(2, 0, 17, 40, 0.5, 0)
    assert ledger.sums(0, "key_3") == NOTHING
    for group in GROUPS:
        assert sum(sums.requests for sums in ledger.sums_by(group, 0, "key_2").values()) == 2


def test_keys_are_told_apart_by_their_names(ledger: Ledger, store: KeyStore) -> None:
    web, app = store.create("web", KeyPolicy())[0], store.create("app", KeyPolicy())[0]
    ledger.write([entry(0, key_id=web.id), entry(1, key_id=web.id), entry(2, key_id=app.id), entry(3, key_id="key_x")])
    grouped = ledger.sums_by("key", 0)
    assert list(grouped) == ["app", "key_x", "web"]
    assert [sums.requests for sums in grouped.values()] == [1, 1, 2]


def test_models_are_told_apart_and_none_is_one_of_them(ledger: Ledger) -> None:
    ledger.write([entry(0, model="b"), entry(1, model=None), entry(2, model="a", cost_usd=2.0), entry(3, model="a")])
    costs = [(model, sums.cost_usd) for model, sums in ledger.sums_by("model", 0).items()]
    assert costs == [(None, 0.25), ("a", 2.25), ("b", 0.25)]


def test_days_are_utc_and_begin_at_midnight(ledger: Ledger) -> None:
    times = (MIDNIGHT - 0.001, MIDNIGHT, MIDNIGHT + DAY - 0.001, MIDNIGHT + DAY)
    ledger.write([entry(number, begun_at=at) for number, at in enumerate(times)])
    days = {day: sums.requests for day, sums in ledger.sums_by("day", 0).items()}
    assert days == {"2027-01-14": 1, "2027-01-15": 2, "2027-01-16": 1}
    assert list(days) == ["2027-01-14", "2027-01-15", "2027-01-16"]


def test_the_largest_counts_have_a_sum(ledger: Ledger) -> None:
    ledger.write([entry(number, input_tokens=TOKENS_MAX, bytes_out=2**40) for number in range(1000)])
    assert ledger.sums(0).input_tokens == 1000 * TOKENS_MAX


@pytest.mark.parametrize(
    ("condition", "found_by"),
    [("key_id = 'key_1' AND begun_at >= 1", "(key_id=? AND begun_at>?)"), ("begun_at >= 1", "(begun_at>?)")],
)
def test_rows_are_found_by_an_index(tmp_path: Path, condition: str, found_by: str) -> None:
    database = open_database(f"sqlite:///{tmp_path}/relay.db")
    database.create_tables()
    query = f"EXPLAIN QUERY PLAN SELECT sum(cost_usd) FROM usage WHERE {condition}"
    [plan] = database.read(lambda connection: connection.exec_driver_sql(query).all())
    database.close()
    assert found_by in plan[3]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=300), tokens=st.integers(0, TOKENS_MAX))
def test_no_name_that_a_caller_chooses_can_be_refused(ledger: Ledger, name: str, tokens: int) -> None:
    """One row that no database takes would keep all others waiting."""
    asked = told(request_id=name, model=name, usage=Usage(tokens, tokens))
    row = entry_of(asked, "key_1", None, ENDED_AT, TIMES)
    ledger.write([row])
    assert row.model in ledger.sums_by("model", 0)


def test_the_table_has_no_place_for_a_prompt_or_an_answer() -> None:
    assert {column.name for column in usage.c} == set(Entry.__struct_fields__)
