"""The caller's side of a stream: writes what the socket takes, keeps the rest, and says when it is drained."""

import time
from collections.abc import Callable
from typing import Any

import gevent

from relay.pump.departure import CallerGone, Departure
from relay.pump.sweep import Sweep
from relay.pump.takeover import Wire, raw_socket

_WRITE = 2


class Sink:
    """Non-blocking writes of whole frames.

    `pending`: bytes not taken yet; meanwhile nothing more may be read for it.
    """

    __slots__ = ("_departure", "_io", "_on_drained", "_on_gone", "_raw_send", "pending", "taken_at", "wire", "wrote_at")

    def __init__(self, wire: Wire, on_drained: Callable[[], None], on_gone: Callable[[], None]) -> None:
        self.wire = wire
        self._on_drained, self._on_gone = on_drained, on_gone
        self._io: Any = None
        self._departure: Departure | None = None
        self.pending = b""
        self.wrote_at = self.taken_at = time.monotonic()
        wire.sock.settimeout(0.0)
        self._raw_send = raw_socket(wire.sock).send

    def write(self, data: bytes, now: float) -> None:
        """Send `data`, or as much as goes. Raises CallerGone."""
        data = self.wire.framed(data)
        self.wrote_at = now
        if self.pending:
            self.pending += data
            return
        sent = self._send(data)
        if sent < len(data):
            self.pending = data[sent:]
            self.taken_at = now
            self.watch()

    def hold(self, data: bytes) -> None:
        """Keep `data` for whoever ends the response, which is now."""
        self.pending += self.wire.framed(data)

    def attend(self, sweep: Sweep) -> None:
        """From now on see the caller leave. A head that has waited for the first bytes goes before them."""
        self._departure = Departure(self.wire.sock.fileno(), sweep, self._on_gone)
        if self.wire.head:
            try:
                self.write(b"", time.monotonic())
            except CallerGone:
                self._on_gone()

    def stop(self) -> None:
        """Stop watching; what is pending stays, for whoever ends the response."""
        if self._departure is not None:
            self._departure.stop()
        if self._io is not None:
            self._io.stop()
            self._io.close()
            self._io = None

    def _send(self, data: bytes) -> int:
        try:
            return self._raw_send(data)  # type: ignore[no-any-return]
        except BlockingIOError:
            return 0
        except OSError as error:
            raise CallerGone from error

    def watch(self) -> None:
        """Write what is pending as soon as the socket takes it."""
        if self._io is None:
            self._io = gevent.get_hub().loop.io(self.wire.sock.fileno(), _WRITE)
        self._io.start(self._writable)

    def _writable(self) -> None:
        try:
            sent = self._send(self.pending)
        except CallerGone:
            self._on_gone()
            return
        if sent:
            self.pending = self.pending[sent:]
            self.taken_at = time.monotonic()
        if not self.pending and self._io is not None:
            self._io.stop()
            self._on_drained()
