"""The raw caller: an HTTP/1.1 client on a plain socket, which shows what really arrives, when, and how it ends."""

import json
import socket
import ssl
import time
from collections.abc import Iterable, Iterator

from tests.live.bench.conversation import RESET
from tests.live.bench.wire import HEAD_END, Body, Head, UntilCloseBody, answer_body, parse_head


class RawCaller:
    """One connection, for one request or several; a context manager. It connects when it first has something to send.

    Reading raises TimeoutError, with what had come, when its time is up.
    `received`: every byte, for searching. `ended_cleanly`: the present answer's framing says that it is complete (for
    a body that ends with its connection: FIN, not RST). `closed`, `was_reset`: how the other side left, once noticed.
    """

    def __init__(
        self,
        port: int,
        *,
        key: str = "",
        tls: ssl.SSLContext | None = None,
        receive_buffer_bytes: int = 0,
    ) -> None:
        self.key = key
        self.received = bytearray()
        self.closed = self.was_reset = False
        self._method = ""
        self._unparsed = b""
        self._body: Body = UntilCloseBody()
        self._decoded = bytearray()
        self._port, self._tls, self._receive_buffer_bytes = port, tls, receive_buffer_bytes
        self._sock: socket.socket | None = None

    def __enter__(self) -> "RawCaller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sock(self) -> socket.socket:
        return self.connect()

    def connect(self) -> socket.socket:
        """Connect, unless it is done; OSError when that fails within 10 s."""
        if self._sock is None:
            self._sock = _connect(self._port, self._tls, self._receive_buffer_bytes)
        return self._sock

    def post(self, path: str, value: object, headers: Iterable[tuple[str, str]] = (), key: str | None = None) -> None:
        body = json.dumps(value).encode()
        self.request("POST", path, body, [("Content-Type", "application/json"), *headers], key)

    def get(self, path: str, headers: Iterable[tuple[str, str]] = (), key: str | None = None) -> None:
        self.request("GET", path, b"", headers, key)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        key: str | None = None,
    ) -> None:
        """Send one request. `key`: "" sends no credential; None the caller's own."""
        lines = [("Host", "127.0.0.1"), *headers, *_credential(self.key if key is None else key)]
        if body:
            lines.append(("Content-Length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        self._method = method

    def send(self, raw: bytes) -> None:
        """Any bytes, well-formed or not."""
        self._method = raw.partition(b" ")[0].decode("latin-1")
        self.sock.sendall(raw)

    def read_head(self, timeout_seconds: float = 10.0) -> tuple[int, list[tuple[str, str]]]:
        """Status and headers of the next answer, a 1xx included."""
        head = self.read_answer_head(timeout_seconds)
        return head.status, head.headers

    def read_answer_head(self, timeout_seconds: float = 10.0) -> Head:
        deadline = time.monotonic() + timeout_seconds
        while HEAD_END not in self._unparsed:
            if self.closed:
                raise ConnectionError(f"closed before a head arrived: {self._unparsed[:500]!r}")
            self._unparsed += self._receive(deadline)
        raw, _, rest = self._unparsed.partition(HEAD_END)
        head = parse_head(raw)
        self._begin_body(head, rest)
        return head

    def read_until(self, marker: bytes, timeout_seconds: float = 10.0) -> bytes:
        """The body up to the marker and with it; AssertionError when the body ends without it."""
        deadline = time.monotonic() + timeout_seconds
        while marker not in self._decoded:
            assert not self._over, f"the body ended without {marker!r}: {bytes(self._decoded[-500:])!r}"
            self._take_in(deadline)
        end = self._decoded.index(marker) + len(marker)
        return self._take(end)

    def read_all(self, timeout_seconds: float = 10.0) -> bytes:
        """The rest of the body, to its end or the connection's; ask `ended_cleanly` which."""
        deadline = time.monotonic() + timeout_seconds
        while not self._over:
            self._take_in(deadline)
        return self._take(len(self._decoded))

    def frames(self, timeout_seconds: float = 10.0) -> Iterator[bytes]:
        """SSE blocks, each with its blank line, as they come, each in time. An unfinished one is left to `read_all`."""
        while True:
            deadline = time.monotonic() + timeout_seconds
            while b"\n\n" not in self._decoded:
                if self._over:
                    return
                self._take_in(deadline)
            yield self._take(self._decoded.index(b"\n\n") + 2)

    @property
    def ended_cleanly(self) -> bool:
        return self._body.ended

    def wait_closed(self, timeout_seconds: float = 10.0) -> bool:
        """Tell whether the other side closes in that time; what it still sends is read and kept in `received`."""
        deadline = time.monotonic() + timeout_seconds
        try:
            while not self.closed:
                self._receive(deadline)
        except TimeoutError:
            return False
        return True

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()

    @property
    def _over(self) -> bool:
        return self._body.ended or self.closed

    def _begin_body(self, head: Head, rest: bytes) -> None:
        if 100 <= head.status < 200:
            self._unparsed = rest
            return
        self._unparsed, self._body = b"", answer_body(head, self._method)
        self._decoded = bytearray(self._body.feed(rest))
        self._keep_surplus()

    def _take_in(self, deadline: float) -> None:
        data = self._receive(deadline)
        self._decoded += self._body.feed(data)
        if self.closed and isinstance(self._body, UntilCloseBody):
            self._body.ended = not self.was_reset
        self._keep_surplus()

    def _keep_surplus(self) -> None:
        if self._body.ended:
            self._unparsed, self._body.surplus = self._unparsed + self._body.surplus, b""

    def _take(self, count: int) -> bytes:
        taken = bytes(self._decoded[:count])
        del self._decoded[:count]
        return taken

    def _receive(self, deadline: float) -> bytes:
        """What comes next; b"" at the end of the connection, and `closed` is set."""
        self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.sock.recv(65536)
        except TimeoutError as error:
            raise TimeoutError(f"nothing more came in time; so far: {bytes(self.received[-500:])!r}") from error
        except OSError:
            data, self.was_reset = b"", True
        self.closed = not data
        self.received += data
        return data


def _connect(port: int, tls: ssl.SSLContext | None, receive_buffer_bytes: int) -> socket.socket:
    sock = socket.socket()
    if receive_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.settimeout(10)
    try:
        sock.connect(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock if tls is None else tls.wrap_socket(sock, server_hostname="127.0.0.1")
    except OSError:
        sock.close()
        raise


def _credential(key: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {key}")] if key else []
