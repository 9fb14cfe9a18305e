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
    """The caller's side of an open response: the head is out, the socket is ours until `hang_up` or the last chunk."""

    __slots__ = ("_response", "chunked", "sock")

    def __init__(self, response: Any) -> None:
        self._response = response
        self.sock: socket.socket = response.sock
        self.chunked: bool = response.chunked

    def framed(self, data: bytes) -> bytes:
        """`data` as the response's transfer coding wants it."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

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


def open_wire(
    start_response: Callable[..., Any], status: str, headers: Iterable[tuple[str, str]], seconds_max: float
) -> Wire:
    """Send the head, validated and framed by gunicorn, and take the socket over. Raises CallerGone, CallerSlow.

    A caller that reads nothing can have filled its socket with answers to earlier requests: even a head may not fit.
    """
    write = start_response(status, list(headers))
    try:
        with gevent.Timeout(seconds_max, CallerSlow()):
            write(b"")
    except OSError:
        raise CallerGone from None
    return Wire(write.__self__)
