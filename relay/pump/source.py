"""The upstream's side of a stream: reads what is there, a bounded amount a turn, and never waits."""

import ssl
from collections.abc import Callable
from typing import Any, Protocol

import gevent
from gevent.socket import wait_read

from relay.core.body import BodyDecoder, UntilClose
from relay.pump.departure import was_reset
from relay.pump.takeover import raw_socket

# What one stream may read before the others have their turn.
READ_BYTES_MAX = 65_536
_READ, _WRITE = 1, 2


class Answer(Protocol):
    """An upstream's answer with its head in hand, as the upstream room hands it over."""

    decoder: BodyDecoder
    keeps_alive: bool
    buffered: bytes

    @property
    def sock(self) -> Any: ...

    def close(self) -> None: ...

    def leave_open(self) -> Callable[[], None]: ...

    def give_back(self) -> None: ...


class Source:
    """Non-blocking reads from an upstream's body. `buffered`: body bytes that came with the head; feed them first.

    `is_tls`: only then there can be more to read than the socket announces.
    """

    __slots__ = (
        "_answer", "_io", "_on_readable", "_read_bytes_max", "_recv", "_sock",
        "buffered", "decoder", "is_tls",
    )  # fmt: skip

    def __init__(self, answer: Answer, read_bytes_max: int = READ_BYTES_MAX) -> None:
        self._answer = answer
        self._read_bytes_max = min(read_bytes_max, READ_BYTES_MAX)
        self.decoder, self.buffered = answer.decoder, answer.buffered
        self._sock = answer.sock
        self._sock.settimeout(0.0)
        self.is_tls, self._recv = isinstance(self._sock, ssl.SSLSocket), raw_socket(self._sock).recv
        self._io: Any = None
        self._on_readable: Callable[[], None] = lambda: None

    def watch(self, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` from the loop whenever there is something to read."""
        self._on_readable = on_readable
        self._io = gevent.get_hub().loop.io(self._sock.fileno(), _READ)
        self._io.start(on_readable)

    def pause(self) -> None:
        """Stop reading: the kernel's window then slows the upstream down."""
        self._io.stop()

    def resume(self) -> None:
        self._io.events = _READ  # it may have waited for TLS to write
        self._io.start(self._on_readable)

    def stop(self) -> None:
        """Stop watching, before the descriptor may be closed or used by somebody else. Idempotent."""
        if self._io is not None:
            self._io.stop()
            self._io.close()
            self._io = None

    def wait(self, seconds_max: float) -> bool:
        """Wait in this greenlet, where nobody watches; return whether there is something to read."""
        try:
            wait_read(self._sock.fileno(), max(0.0, seconds_max))
        except TimeoutError:
            return False
        return True

    def read(self) -> bytes | None:
        """Return bytes, b"" at the end of the connection, or None when there is nothing now. Raises OSError."""
        if self.is_tls:
            return self._read_tls()
        try:
            return self._recv(self._read_bytes_max)  # type: ignore[no-any-return]
        except BlockingIOError:
            return None

    def _read_tls(self) -> bytes | None:
        reset = was_reset(self._sock)  # afterwards TLS may have provoked one itself
        try:
            data: bytes = self._sock.recv(self._read_bytes_max)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLWantWriteError:
            if self._io is not None:
                self._want_write()
            return None
        except ssl.SSLEOFError:  # the peer closed without close_notify; the framing tells whether that was too early
            data = b""
        if not data and reset:
            raise ConnectionResetError
        return data

    @property
    def has_more(self) -> bool:
        """TLS holds decrypted bytes that no event will announce."""
        return self.is_tls and self._sock.pending() > 0

    @property
    def is_reusable(self) -> bool:
        """Whether the body ended exactly and its connection may carry another request."""
        return self.decoder.ended and not self.decoder.surplus and not self.has_more and self._answer.keeps_alive

    @property
    def may_end_soon(self) -> bool:
        """Whether only the end of the body is missing for that."""
        return not self.decoder.ended and not isinstance(self.decoder, UntilClose) and self._answer.keeps_alive

    def give_back(self) -> None:
        """Put the connection back into its pool."""
        self._answer.give_back()

    def _want_write(self) -> None:
        """A TLS key update must be answered before more can be read."""
        self._io.stop()
        self._io.events = _WRITE
        self._io.start(self._wrote)

    def _wrote(self) -> None:
        self._io.stop()
        self._io.events = _READ
        self._io.start(self._on_readable)
        self._on_readable()
