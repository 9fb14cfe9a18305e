"""Everything private of gunicorn and gevent that the pump stands on; each has a contract test.

Pinned to gunicorn 27.0.1 (`Response.start_response` returns the bound method `write`; `environ["gunicorn.socket"]`)
and gevent 26.9.0 (`socket._sock` is the native one).
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import gevent
from gunicorn.workers.base_async import ALREADY_HANDLED

from relay.pump.departure import CallerGone, CallerSlow

__all__ = [
    "ALREADY_HANDLED",
    "HungUp",
    "Wire",
    "begin_wire",
    "caller_socket",
    "hang_up",
    "open_wire",
    "raw_socket",
]


class HungUp(StopIteration):
    """Ends gunicorn's work on a connection without a word.

    Merely shutting the socket down would not: a request that was pipelined behind is in gunicorn's buffer already, and
    would be begun, and paid, with nobody left to read its answer.
    """


class Wire:
    """The caller's side of a response that has begun: the socket is ours until `hang_up` or the last chunk.

    `head`: the response's, while it has not been sent; it goes before the first bytes, and with them.
    """

    __slots__ = ("_response", "chunked", "head", "sock")

    def __init__(self, response: Any, head: bytes = b"") -> None:
        self._response, self.head = response, head
        self.sock: socket.socket = response.sock
        self.chunked: bool = response.chunked

    def framed(self, data: bytes) -> bytes:
        """`data` as the response's transfer coding wants it, behind the head if that is still here."""
        if self.chunked and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self.head:
            data, self.head = self.head + data, b""
        return data

    @property
    def last_chunk(self) -> bytes:
        return b"0\r\n\r\n" if self.chunked else b""

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this response; gunicorn does not look again once we have handled it."""
        return bool(self._response.should_close())

    def hang_up(self) -> None:
        """End the connection without a last chunk."""
        hang_up(self.sock)


def hang_up(sock: socket.socket) -> None:
    """Not close(): gunicorn closes its own socket, and logs a traceback if it cannot."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def caller_socket(environ: dict[str, Any]) -> socket.socket | None:
    """The caller's plain socket, or None where there is none to take over (test client, TLS in gunicorn, another
    server).
    """
    sock = environ.get("gunicorn.socket")
    if sock is None or isinstance(sock, ssl.SSLSocket) or not hasattr(sock, "_sock"):
        return None
    return sock  # type: ignore[no-any-return]


def raw_socket(sock: Any) -> Any:
    """The native socket within gevent's, which only adds a wait: for those who never wait."""
    return getattr(sock, "_sock", sock)


class _Collected:
    """Stands where gunicorn expects the caller's socket."""

    data = b""

    def sendall(self, data: bytes) -> None:
        self.data += data


def begin_wire(start_response: Callable[..., Any], status: str, headers: Iterable[tuple[str, str]]) -> Wire:
    """Have gunicorn validate and frame the head, and take the socket over; the head goes with the first bytes.

    One packet instead of two: the second write, and the second time that the caller is woken, cost more than a frame.
    """
    write = start_response(status, list(headers))
    response = write.__self__
    sock, response.sock = response.sock, _Collected()
    try:
        write(b"")
        head = response.sock.data
    finally:
        response.sock = sock
    response.headers.clear()  # written, and looked at again only by the access log that we do not have
    return Wire(response, head)


def open_wire(
    start_response: Callable[..., Any], status: str, headers: Iterable[tuple[str, str]], seconds_max: float
) -> Wire:
    """The same, and send the head now. Raises CallerGone, CallerSlow.

    A caller that reads nothing can have filled its socket with answers to earlier requests: even a head may not fit.
    """
    wire = begin_wire(start_response, status, headers)
    try:
        with gevent.Timeout(seconds_max, CallerSlow()):
            wire.sock.sendall(wire.framed(b""))
    except OSError:
        raise CallerGone from None
    return wire
