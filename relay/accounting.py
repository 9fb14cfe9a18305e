"""What a request was: measured once, told once, as one log line."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from relay.core.entry import Entry, entry_of, shown
from relay.core.flow import Ending, Flow
from relay.core.routes import TASKS
from relay.core.usage import Usage, cost_usd


@dataclass(slots=True)
class Record:
    """One request's line in the making. Times are seconds of the monotonic clock; None or 0 is what was not measured.

    In their order: the request arrived, its caller was known, its body was there, it was sent to the upstream (after
    connecting for `connect_seconds`, unless a connection was at hand), the answer's head came, our first byte went.
    """

    request_id: str
    route: str
    origin: str | None = None
    key_id: str | None = None
    model: str | None = None
    status: int = 0
    upstream: str | None = None
    upstream_status: int | None = None
    end: str = "done"
    error: str | None = None
    bytes_out: int = 0
    frames_out: int = 0
    usage: Usage | None = None
    begun_at: float = field(default_factory=time.monotonic)
    known_at: float = 0.0
    received_at: float = 0.0
    sent_at: float = 0.0
    connect_seconds: float | None = None
    answered_at: float = 0.0
    first_at: float = 0.0
    told: bool = False

    @property
    def overhead_seconds(self) -> float | None:
        """The relay's own part: authentication, admission, and from the upstream's head to our first byte. Neither the
        time in which the caller sent its body, nor the upstream's.
        """
        return self.overhead_until(self.first_at) if self.answered_at and self.first_at else None

    def overhead_until(self, first_at: float) -> float:
        """The same, were our first byte to go out at `first_at`."""
        return self.known_at - self.begun_at + self.sent_at - self.received_at + first_at - self.answered_at


class Price(Protocol):
    """US dollars per million tokens."""

    @property
    def input(self) -> float: ...

    @property
    def output(self) -> float: ...


class Metered(Protocol):
    """The request, as far as this room looks."""

    record: Record


class Meter:
    """Measures one exchange; the pump tells it how the stream ended."""

    def __init__(self, record: Record, report: Callable[[str, BaseException], None]) -> None:
        self.record, self._report = record, report

    def ended(self, ending: Ending, flow: Flow, bytes_out: int, first_at: float) -> None:
        """Take down the stream's end.

        `bytes_out`: body bytes for the caller; `first_at`: when the first of them went.
        """
        record = self.record
        record.end, record.usage = ending.end, flow.usage
        record.bytes_out, record.frames_out = bytes_out, flow.frames
        record.first_at = first_at or time.monotonic()

    def failed(self, error: BaseException) -> None:
        """Take down a failure of the relay itself."""
        self._report("stream", error)


def keep_nothing(entry: Entry) -> None:
    """The ledger of a relay that keeps none."""


def count_nothing(record: Record, ended_at: float, cost_usd: float | None) -> None:
    """The figures of a relay that publishes none."""


class Accountant:
    """Writes one line per request, counts it, and enters those of known keys in the ledger."""

    def __init__(
        self,
        write: Callable[..., None],
        failure: Callable[[str, BaseException], None],
        prices: Mapping[str, Price],
        enter: Callable[[Entry], None] = keep_nothing,
        observe: Callable[[Record, float, float | None], None] = count_nothing,
    ) -> None:
        self._write, self._failure, self._prices = write, failure, prices
        self._enter, self._observe = enter, observe

    def sending(self, request: Metered) -> None:
        """Take down that the relay's own part before the upstream is over."""
        request.record.sent_at = time.monotonic()

    @contextmanager
    def meter(self, request: Metered, upstream: Any) -> Iterator[Meter]:
        """Measure what follows; on leaving, the request is accounted for."""
        record = request.record
        record.upstream, record.upstream_status = upstream.target.name, upstream.status
        record.connect_seconds = upstream.connect_seconds
        record.status = upstream.status
        record.answered_at = time.monotonic()
        try:
            yield Meter(record, self._failure)
        finally:
            self.tell(record)

    def record_of(self, placed: Any) -> Record:
        """The line in the making of a task that another process accepted."""
        began = time.monotonic() - max(0.0, time.time() - placed.placed_at)
        key_id, route = placed.caller.key_id, TASKS.path
        return Record(placed.request_id, route, placed.origin, key_id, placed.model, begun_at=began, known_at=began)

    def tell(self, record: Record) -> None:
        """Write the request's line and its entry, unless they have been written."""
        if record.told:
            return
        record.told = True
        now, times, cost = time.time(), _times(record), self._cost(record)
        self._observe(record, time.monotonic(), cost)
        if record.key_id is not None:
            self._enter(entry_of(record, record.key_id, cost, now, times))
        self._write(
            time=now,
            request_id=shown(record.request_id),
            key_id=record.key_id,
            origin=record.origin,
            route=record.route,
            model=None if record.model is None else shown(record.model),
            status=record.status,
            upstream=record.upstream,
            upstream_status=record.upstream_status,
            bytes_out=record.bytes_out,
            frames_out=record.frames_out,
            **times,
            usage=_usage(record.usage),
            cost_usd=cost,
            end=record.end,
            error=record.error,
        )

    def _cost(self, record: Record) -> float | None:
        price = self._prices.get(record.model or "")
        if record.usage is None or price is None:
            return None
        return cost_usd(record.usage, price.input, price.output)


def _usage(usage: Usage | None) -> dict[str, int] | None:
    return None if usage is None else {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _times(record: Record) -> dict[str, float | None]:
    """Milliseconds."""
    overhead_seconds = record.overhead_seconds
    return {
        "ttft_ms": None if overhead_seconds is None else _ms(record.first_at - record.begun_at),
        "duration_ms": _ms(time.monotonic() - record.begun_at),
        "overhead_ms": None if overhead_seconds is None else _ms(overhead_seconds),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
