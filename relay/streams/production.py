"""The making of one resumable stream: a greenlet of its own walks the corridor and pumps the answer into a log."""

from collections.abc import Callable
from typing import Any, Protocol

from relay.core.dialects import Dialect
from relay.core.errors import RelayError
from relay.core.flow import Ending
from relay.core.kept import Head, Kept, Outcome
from relay.core.numbered_flow import numbered_error


class Cancelled(Exception):
    """Somebody who may do so wants it to end."""


class Abandoned(RelayError):
    """Nobody waits for it any more."""


class Work(Protocol):
    """What a stream is made of. `names`: what a revocation may name to end it. `detach`: "finish" where it is made to
    its end without any reader.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def detach(self) -> str: ...

    @property
    def dialect(self) -> Dialect: ...

    def open(self, presence: Any, stream_id: str) -> Any:
        """Walk the corridor as far as the upstream's answer; return the exchange. Raises RelayError."""

    def head_of(self, upstream: Any) -> Head:
        """What callers are answered."""

    def empty_head(self) -> Head | None:
        """The same, where the upstream has not answered and will not; None where only a refusal can be understood."""

    def refused(self, error: RelayError) -> None:
        """It never began."""


class Pump(Protocol):
    """What a production needs of the pump."""

    def unattended(self, names: tuple[str, ...]) -> Any: ...

    def produce(self, exchange: Any, kept: Kept, begun: Callable[[Any], None]) -> Ending: ...


class Production:
    """One stream in the making. `unattended_since`: when its last reader left (monotonic seconds), None while one is
    there.
    """

    def __init__(self, kept: Kept, work: Work, pump: Pump) -> None:
        self.kept, self.work, self._pump = kept, work, pump
        self._presence = pump.unattended(work.names)
        self._stream: Any = None
        self._cancelled_as = ""
        self.unattended_since: float | None = None

    @property
    def stream(self) -> Any:
        """What the pump pumps for it; None before that."""
        return self._stream

    def run(self) -> None:
        """Make it. Whatever happens, those who wait are told."""
        try:
            exchange = self.work.open(self._presence, self.kept.subject.id)
        except Cancelled:
            self._end_unbegun()
        except RelayError as error:
            self._refuse(error)
        except BaseException:
            self._refuse(_defect())
            raise
        else:
            self._pump_into_log(exchange)

    def cancel(self, end: str) -> None:
        """End it from another greenlet; `end`: the log line's word. Idempotent, and never too early."""
        self._cancelled_as = self._cancelled_as or end
        if self._stream is not None:
            self._stream.cut(end, code_of(end))
        else:
            self._presence.interrupt_soon(Cancelled())

    def _pump_into_log(self, exchange: Any) -> None:
        kept, ending = self.kept, None
        try:
            self._answered(exchange)
            ending = self._pump.produce(exchange, kept, self._begun)
        finally:
            exchange.close()  # it is, unless something failed before the pump had it
            if kept.head is None:
                kept.refuse(_defect())
            else:
                self._end(ending, exchange.flow)

    def _answered(self, exchange: Any) -> None:
        self.kept.open(self.work.head_of(exchange.upstream))

    def _end(self, ending: Ending | None, flow: Any) -> None:
        """None is what a killed greenlet leaves behind."""
        ending = ending or Ending("drained")
        if ending.last:
            self.kept.append(ending.last, flow.last_seq)
        self.kept.end(outcome_of(ending, flow))

    def _begun(self, stream: Any) -> None:
        self._stream = stream
        if self._cancelled_as:
            stream.cut(self._cancelled_as, code_of(self._cancelled_as))

    def _refuse(self, error: RelayError) -> None:
        try:
            self.work.refused(error)
        finally:
            self.kept.refuse(error)

    def _end_unbegun(self) -> None:
        """Cancelled before the upstream answered: a stream with nothing in it but the reason."""
        kind = Abandoned if self._cancelled_as == "client_gone" else RelayError
        error, head = kind("client_gone", "The stream was cancelled."), self.work.empty_head()
        if head is None:
            self._refuse(error)
            return
        self.kept.open(head)
        self.kept.append(numbered_error(self.kept.subject.id, 1, self.work.dialect, "cancelled"), 1)
        self.kept.end(Outcome("cancelled", whole=False, error="cancelled"))
        self.work.refused(error)


def _defect() -> RelayError:
    return RelayError("internal_error", "The relay failed.")


def code_of(end: str) -> str:
    """What a stream is told that was ended so."""
    return {"deadline": "deadline_exceeded", "drained": "relay_draining"}.get(end, "cancelled")


def outcome_of(ending: Ending, flow: Any) -> Outcome:
    """How a stream ended, for those who ask later."""
    if ending.whole:
        return Outcome("done", whole=True, usage=flow.usage)
    status = "cancelled" if ending.end in ("cancelled", "client_gone") else "failed"
    return Outcome(status, whole=False, error=ending.code or ending.end, usage=flow.usage)
