"""Which requests the accountant enters in the ledger, and with what."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from config.schema import Price
from relay import accounting
from relay.accounting import Accountant, Record
from relay.core.entry import Entry
from relay.core.flow import Ending
from relay.core.keys import mint_key
from relay.core.usage import Usage

UPSTREAM = SimpleNamespace(target=SimpleNamespace(name="default"), status=200, connect_seconds=None)


class Clock:
    """Stands for the module `time` within the room."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 2_000_000_000.0 + self.now


class Told:
    """An accountant, what it wrote and what it entered."""

    def __init__(self) -> None:
        self.entered: list[Entry] = []
        self.lines: list[dict[str, Any]] = []
        prices = {"gpt-test": Price(input=2.0, output=8.0)}
        self.accountant = Accountant(self._write, lambda *failure: None, prices, self.entered.append)

    def _write(self, **fields: Any) -> None:
        self.lines.append(fields)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(accounting, "time", clock)
    return clock


@pytest.fixture
def told() -> Told:
    return Told()


def record(**fields: Any) -> Record:
    return Record("req_12345678", "/v1/chat/completions", begun_at=100.0, **{"key_id": "key_1", **fields})


def relay(told: Told, record: Record, usage: Usage | None = None, end: str = "done") -> None:
    """A request that an upstream answered."""
    request = SimpleNamespace(record=record)
    told.accountant.sending(request)
    with told.accountant.meter(request, UPSTREAM) as meter:
        flow: Any = SimpleNamespace(usage=usage, frames=3)
        meter.ended(Ending(end), flow, bytes_out=876, first_at=100.106)


def test_a_whole_stream_is_one_entry_that_says_what_its_line_says(told: Told, clock: Clock) -> None:
    asked = record(model="gpt-test")
    clock.now = 102.5
    relay(told, asked, Usage(1000, 500))
    [row], [line] = told.entered, told.lines
    assert row.begun_at == 2_000_000_100.0
    assert (row.input_tokens, row.output_tokens) == (1000, 500)
    same = msgspec.structs.asdict(row).keys() & line.keys()
    assert len(same) == 12
    assert {name: getattr(row, name) for name in same} == {name: line[name] for name in same}
    assert (row.cost_usd, row.duration_ms, row.ttft_ms) == (0.006, 2500.0, 106.0)


def test_a_refusal_of_a_known_key_is_an_entry(told: Told) -> None:
    told.accountant.tell(record(status=429, error="rate_limit_exceeded"))
    [row] = told.entered
    assert (row.status, row.upstream, row.ttft_ms, row.input_tokens, row.cost_usd) == (429, None, None, None, None)


def test_strangers_leave_no_entry_and_one_line(told: Told) -> None:
    told.accountant.tell(record(key_id=None, status=401, error="invalid_api_key"))
    assert told.entered == []
    assert len(told.lines) == 1


def test_a_request_is_entered_once(told: Told) -> None:
    asked = record()
    relay(told, asked)
    told.accountant.tell(asked)
    assert len(told.entered) == 1


def test_no_entry_holds_a_key(told: Told) -> None:
    key = mint_key()
    asked = record(model=f"model-{key}", origin=f"https://{key}.example")
    asked.request_id = key
    relay(told, asked)
    assert key[3:] not in str(told.entered)


def test_without_a_ledger_the_line_is_written_all_the_same() -> None:
    lines: list[dict[str, Any]] = []
    accountant = Accountant(lambda **fields: lines.append(fields), lambda *failure: None, {})
    accountant.tell(record())
    assert lines[0]["key_id"] == "key_1"
