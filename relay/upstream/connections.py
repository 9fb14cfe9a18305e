"""Connections to upstreams: one deadline over DNS, TCP and TLS, strict heads, and no stale connection used again."""

import re
import ssl
import time
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any

import gevent
from gevent.monkey import get_original
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

# A connection that slept longer may have been dropped on the way without a word.
POOLED_SECONDS_MAX = 30.0
# http.client's own bounds (100 fields of 64 KiB each) would let 6 MiB in.
HEAD_BYTES_MAX = 262_144
# A larger body is not worth copying.
JOINED_BYTES_MAX = 65_536
STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n\0]*)?\r?\n")
HEADER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r?\n")


@dataclass(slots=True)
class Connecting:
    """A request's attempts to connect. `until`: when they must be over; `spent_seconds`: None while a connection was at
    hand.
    """

    until: float
    spent_seconds: float | None = None


_connecting: ContextVar[Connecting] = ContextVar("connecting")


class ConnectDeadline(gevent.Timeout):  # type: ignore[misc]
    """DNS, TCP and TLS together took too long."""


class HandshakeFailed(Exception):
    """TCP stood, TLS did not."""


def begin_connecting(seconds_max: float) -> Connecting:
    """From now on this greenlet's attempts to connect have `seconds_max` together."""
    connecting = Connecting(time.monotonic() + seconds_max)
    _connecting.set(connecting)
    return connecting


class _Lines:
    """Reads the lines of a head, and refuses what http.client would take in its stride: it skips broken lines with all
    that follows them, takes the end of the connection for the end of the head, and reads interim answers for ever.
    """

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self._bytes_left = HEAD_BYTES_MAX
        self._expected = STATUS_LINE

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self.reader.readline(limit)
        self._bytes_left -= len(line)
        if self._bytes_left < 0:
            raise HTTPException("the head is too long")
        if line in (b"\r\n", b"\n") and self._expected is HEADER_LINE:
            self._expected = STATUS_LINE
        elif not self._expected.fullmatch(line):
            raise HTTPException("the head is broken")
        else:
            self._expected = HEADER_LINE
        return line

    def close(self) -> None:
        self.reader.close()


class _StrictHead(HTTPResponse):
    """http.client's response with a head that is whole and clean."""

    def begin(self) -> None:
        reader: Any = self.fp
        lines: Any = _Lines(reader)
        self.fp = lines
        try:
            super().begin()
        finally:
            if self.fp is lines:
                self.fp = reader


class _Pooled:
    """What our connections add to urllib3's."""

    response_class: type[HTTPResponse] = _StrictHead
    idle_since = 0.0
    sock: Any
    _held: list[bytes] | None = None

    def connect(self) -> None:
        connecting, begun_at = _connecting.get(), time.monotonic()
        try:
            with ConnectDeadline(max(0.001, connecting.until - begun_at)):
                super().connect()  # type: ignore[misc]
        except (HTTPError, gevent.Timeout):
            raise
        except (OSError, ValueError) as error:  # the TCP connection's own errors are HTTPErrors
            raise HandshakeFailed from error
        finally:
            connecting.spent_seconds = (connecting.spent_seconds or 0.0) + time.monotonic() - begun_at

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        """Head and body leave together: a second write would cost a system call here and a wake-up there."""
        if not isinstance(body, bytes) or len(body) > JOINED_BYTES_MAX:
            super().request(method, url, body, headers, **options)  # type: ignore[misc]
            return
        self._held = []
        try:
            super().request(method, url, body, headers, **options)  # type: ignore[misc]
            whole = b"".join(self._held)
        finally:
            self._held = None
        self.send(whole)

    def send(self, data: Any) -> None:
        """urllib3 still reads the answer of an upstream that closed before it had read all; TLS must say so its way."""
        if self._held is not None:
            self._held.append(data)
            return
        try:
            super().send(data)  # type: ignore[misc]
        except ssl.SSLError as error:
            raise BrokenPipeError from error

    @property
    def is_connected(self) -> bool:
        """Asked before a pooled connection is used again."""
        fresh = time.monotonic() - self.idle_since < POOLED_SECONDS_MAX
        return self.sock is not None and fresh and not _readable_now(self.sock)


class Plain(_Pooled, HTTPConnection):
    """To an http:// upstream."""


class Secure(_Pooled, HTTPSConnection):
    """To an https:// upstream."""


def _readable_now(sock: Any) -> bool:
    """An idle connection that has something to read has been closed, or will confuse the next answer."""
    poll = get_original("select", "poll")()
    poll.register(sock.fileno(), 1)
    return bool(poll.poll(0))
