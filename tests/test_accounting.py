"""One line per request: complete, told once, and with nothing in it that a caller said."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from config.schema import Price
from relay import accounting
from relay.accounting import Accountant, Meter, Record
from relay.core.flow import Ending
from relay.core.usage import Usage

# FAULTS.md, top; operations.md shows one
FIELDS = {
    "time", "request_id", "key_id", "origin", "route", "model", "status", "upstream", "upstream_status", "bytes_out",
    "frames_out", "ttft_ms", "duration_ms", "overhead_ms", "usage", "cost_usd", "end", "error",
}  # fmt: skip
TARGET = SimpleNamespace(name="default", api_key="sk-canary")
UPSTREAM = SimpleNamespace(target=TARGET, status=200, connect_seconds=None)


class Clock:
    """Stands for the module `time` within the room."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 2_000_000_000.25


class Told:
    """An accountant, the lines that it wrote and the failures that it passed on."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.failures: list[tuple[str, BaseException]] = []
        prices = {"gpt-test": Price(input=2.0, output=8.0)}
        self.accountant = Accountant(self._write, lambda *failure: self.failures.append(failure), prices)

    def _write(self, **fields: Any) -> None:
        self.lines.append(json.loads(json.dumps(fields)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(accounting, "time", clock)
    return clock


@pytest.fixture
def told() -> Told:
    return Told()


def request(**fields: Any) -> Any:
    """A request with its record in the making."""
    known = {"known_at": 100.001, "received_at": 100.001}
    return SimpleNamespace(record=Record("req_1", "/v1/chat/completions", begun_at=100.0, **known, **fields))


def flow(usage: Usage | None = None, frames: int = 3) -> Any:
    return SimpleNamespace(usage=usage, frames=frames)


def test_a_whole_stream_is_one_complete_line(told: Told, clock: Clock) -> None:
    asked = request(key_id="key_1", model="gpt-test", origin="https://app.example")
    clock.now = 100.004
    told.accountant.sending(asked)
    clock.now = 100.100
    with told.accountant.meter(asked, UPSTREAM) as meter:
        clock.now = 102.5
        meter.ended(Ending("done", whole=True), flow(Usage(1000, 500)), bytes_out=876, first_at=100.106)
    assert told.lines == [
        {
            "time": 2_000_000_000.25,
            "request_id": "req_1",
            "key_id": "key_1",
            "origin": "https://app.example",
            "route": "/v1/chat/completions",
            "model": "gpt-test",
            "status": 200,
            "upstream": "default",
            "upstream_status": 200,
            "bytes_out": 876,
            "frames_out": 3,
            "ttft_ms": 106.0,
            "duration_ms": 2500.0,
            "overhead_ms": 10.0,  # 4 before sending, 6 between the upstream's head and our first byte
            "usage": {"input_tokens": 1000, "output_tokens": 500},
            "cost_usd": 0.006,
            "end": "done",
            "error": None,
        }
    ]


def test_a_request_that_no_upstream_answered_has_every_field_too(told: Told, clock: Clock) -> None:
    asked = request(status=401, error="invalid_api_key")
    clock.now = 100.002
    told.accountant.tell(asked.record)
    (line,) = told.lines
    assert line.keys() == FIELDS
    assert (line["status"], line["error"], line["duration_ms"]) == (401, "invalid_api_key", 2.0)
    unmeasured = ("key_id", "origin", "model", "upstream", "upstream_status", "ttft_ms", "overhead_ms", "usage")
    assert {line[name] for name in (*unmeasured, "cost_usd")} == {None}


def test_a_request_is_told_once(told: Told) -> None:
    asked = request()
    with told.accountant.meter(asked, UPSTREAM):
        told.accountant.tell(asked.record)
    told.accountant.tell(asked.record)
    assert len(told.lines) == 1


def test_nothing_is_told_before_the_meter_is_left(told: Told) -> None:
    with told.accountant.meter(request(), UPSTREAM):
        assert told.lines == []
    assert len(told.lines) == 1


def test_a_request_is_told_also_when_what_it_measured_failed(told: Told) -> None:
    with pytest.raises(KeyboardInterrupt), told.accountant.meter(request(), UPSTREAM):
        raise KeyboardInterrupt
    assert len(told.lines) == 1


@pytest.mark.parametrize("end", ["stall", "client_gone", "truncated", "reset", "revoked", "oversize", "deadline"])
def test_the_line_says_how_the_stream_ended(told: Told, end: str) -> None:
    with told.accountant.meter(request(), UPSTREAM) as meter:
        meter.ended(Ending(end), flow(frames=7), bytes_out=10, first_at=0.0)
    assert (told.lines[0]["end"], told.lines[0]["frames_out"], told.lines[0]["bytes_out"]) == (end, 7, 10)


def test_a_body_without_a_first_byte_is_measured_to_its_end(told: Told, clock: Clock) -> None:
    asked = request()
    told.accountant.sending(asked)
    with told.accountant.meter(asked, UPSTREAM) as meter:
        clock.now = 100.050
        meter.ended(Ending("done", whole=True), flow(frames=0), bytes_out=0, first_at=0.0)
    assert (told.lines[0]["ttft_ms"], told.lines[0]["bytes_out"]) == (50.0, 0)


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("gpt-test", Usage(1_000_000, 0), 2.0),
        ("gpt-test", Usage(0, 0), 0.0),
        ("gpt-test", None, None),
        ("unpriced", Usage(5, 5), None),
        (None, Usage(5, 5), None),
    ],
)
def test_the_cost_is_known_where_price_and_usage_are(
    told: Told, model: str | None, usage: Usage | None, cost: float | None
) -> None:
    with told.accountant.meter(request(model=model), UPSTREAM) as meter:
        meter.ended(Ending("done", whole=True), flow(usage), bytes_out=1, first_at=0.0)
    assert told.lines[0]["cost_usd"] == cost


def test_an_upstreams_key_is_not_in_the_line(told: Told) -> None:
    with told.accountant.meter(request(), UPSTREAM):
        pass
    assert "canary" not in json.dumps(told.lines)


def test_a_failure_of_the_relay_is_passed_on_and_is_no_line(told: Told) -> None:
    error = ValueError("canary")
    Meter(request().record, told.accountant._failure).failed(error)
    assert told.failures == [("stream", error)]
    assert told.lines == []
