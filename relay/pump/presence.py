"""OPENING and OPEN_SILENT: while the upstream is awaited, sees the caller leave and keeps a long silence alive.

The request's greenlet is blocked in the send; what happens here comes from the loop. After `early_open_seconds`
without an upstream head the caller gets ours with status 200, so that no proxy on the way gives up, and heartbeats.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import gevent

from relay.core.sse import PING
from relay.pump.departure import CallerGone, Departure
from relay.pump.sink import Sink
from relay.pump.sweep import NEVER, Sweep
from relay.pump.takeover import Wire


@dataclass(frozen=True, slots=True)
class EarlyOpen:
    """When a response is opened before its upstream answered (0: never), and how often it then shows that it lives."""

    after_seconds: float
    heartbeat_seconds: float


class NoPresence:
    """Where there is no socket to watch: waits, and learns of a departure by the next write."""

    wire: Wire | None = None
    names: tuple[str, ...] = ()

    def __enter__(self) -> "NoPresence":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def take_pending(self) -> bytes:
        return b""


class Unattended:
    """A context around waiting for the upstream for the sake of a stream that is kept: nobody's departure ends it.

    `names`: what a revocation may name to end it. `waiting`: all that wait now, in this process.
    """

    wire: Wire | None = None

    def __init__(self, names: tuple[str, ...], waiting: "set[Any]") -> None:
        self.names, self._waiting = names, waiting
        self._greenlet: Any = None
        self._reason: BaseException | None = None

    def __enter__(self) -> "Unattended":
        if self._reason is not None:
            raise self._reason
        self._greenlet = gevent.getcurrent()
        self._waiting.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._greenlet = None
        self._waiting.discard(self)

    def take_pending(self) -> bytes:
        return b""

    def interrupt_soon(self, reason: BaseException) -> None:
        """Raise `reason` where the greenlet waits, or where it is about to; called from another greenlet."""
        self._reason = reason
        gevent.get_hub().loop.run_callback(self._interrupt, reason)

    def _interrupt(self, reason: BaseException) -> None:
        if self._greenlet is not None:
            greenlet, self._greenlet = self._greenlet, None
            greenlet.throw(reason)


class Presence:
    """A context around waiting for the upstream; raises into it when the caller leaves.

    `wire`: the response, once it was opened early. `open_wire`: sends the head of an event stream, blocking; None
    where the caller did not ask for a stream. `waiting`: the presences of this process that wait now. `names`:
    what a revocation may name to end this request.
    """

    def __init__(
        self,
        sock: socket.socket,
        sweep: Sweep,
        open_wire: Callable[[], Wire] | None,
        early: EarlyOpen,
        waiting: "set[Any]",
    ) -> None:
        self._sock, self._sweep, self._open_wire, self._early, self._waiting = sock, sweep, open_wire, early, waiting
        self.names: tuple[str, ...] = ()
        self.due = NEVER
        self.wire: Wire | None = None
        self._sink: Sink | None = None
        self._opening: gevent.Greenlet | None = None
        self._greenlet: Any = None
        self._departure: Departure | None = None
        self._gone: CallerGone | None = None

    def __enter__(self) -> "Presence":
        self._greenlet = gevent.getcurrent()
        self._waiting.add(self)
        self._departure = Departure(self._sock.fileno(), self._sweep, self._left)
        if self.wire is not None:  # the wait for a head is over, that for a body begins
            self._beat_from(self._early.heartbeat_seconds)
        elif self._open_wire is not None and self._early.after_seconds:
            self._beat_from(self._early.after_seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._greenlet = None
        self._waiting.discard(self)
        self._sweep.discard(self)
        if self._departure is not None:
            self._departure.stop()
        try:
            if self._opening is not None:
                self._opening.join()
        finally:
            if self._sink is not None:
                self._sink.stop()
            self._open_wire = None  # with its copy of the request's context, of no use any more
        if self._gone is not None:  # half a head may be out: nothing else can be answered
            raise self._gone

    def interrupt(self, reason: BaseException) -> None:
        """Raise `reason` where the greenlet waits, if it still does. Called from the loop."""
        if self._greenlet is not None:
            greenlet, self._greenlet = self._greenlet, None
            greenlet.throw(reason)

    def interrupt_soon(self, reason: BaseException) -> None:
        """The same, called from another greenlet."""
        gevent.get_hub().loop.run_callback(self.interrupt, reason)

    def take_pending(self) -> bytes:
        """Heartbeat bytes that the caller has not taken yet; they go before anything else."""
        return self._sink.pending if self._sink else b""

    def _beat_from(self, seconds: float) -> None:
        self.due = time.monotonic() + seconds
        self._sweep.add(self)

    def on_due(self, now: float) -> None:
        self.due = now + self._early.heartbeat_seconds
        if self._sink is not None:
            self._beat(self._sink, now)
        elif self._opening is None:
            self._opening = gevent.spawn(self._open)

    def _open(self) -> None:
        try:
            self.wire = self._open_wire() if self._open_wire is not None else None
        except CallerGone as gone:
            self._gone = gone
            self.interrupt_soon(gone)
        if self.wire is not None:
            self._sink = Sink(self.wire, lambda: None, self._left)

    def _beat(self, sink: Sink, now: float) -> None:
        if sink.pending:  # a caller that takes nothing needs no further heartbeats
            return
        try:
            sink.write(PING, now)
        except CallerGone:
            self._left()

    def _left(self) -> None:
        self.interrupt(CallerGone())
