"""One accepted connection as a script of the upstream sees it: read this, send that, wait, leave politely or not."""

import contextlib
import json
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field

from tests.live.bench.wire import HEAD_END, Head, Headers, parse_head, request_body

RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST
SEND_SECONDS_MAX = 30.0
IDLE_SECONDS_MAX = 300.0
GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class PeerGone(Exception):
    """The peer closed or reset the connection. Ends a script quietly."""


class Superseded(Exception):
    """The upstream got another script while this one waited for a request. Scripts let it pass."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived. `raw`: every byte of it; `body`: without its framing; `path`: with its query."""

    raw: bytes
    method: str
    path: str
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        return Head("", self.headers).header(name)

    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class Record:
    """What an upstream has seen since it was last told to forget. Times are of time.monotonic()."""

    requests: list[Request] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)
    peer_closes: list[float] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, request: Request) -> None:
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()

    def note_close(self) -> None:
        with self.changed:
            self.peer_closes.append(time.monotonic())
            self.changed.notify_all()

    def clear(self) -> None:
        with self.changed:
            self.requests, self.received, self.peer_closes = [], bytearray(), []


class Connection:
    """Methods raise PeerGone when the peer has left, but for `wait_closed`, which tells. Every wait is bounded."""

    def __init__(self, sock: socket.socket, record: Record) -> None:
        self.sock = sock
        self.record = record
        self.requests_read = 0
        self.idle = False
        self.superseded = threading.Event()
        self.hung_up = False
        self._unread = b""
        self._leaving_is_news = True

    def read_request(self, timeout_seconds: float = 10.0) -> Request:
        """The next request, whole. It may be waited for for long; once begun it must arrive in time."""
        if not self._unread and not self._decrypted():
            self._wait_for_a_request()
        request = self._read_whole_request(timeout_seconds)
        self.requests_read += 1
        self.record.note(request)
        return request

    def receive(self, timeout_seconds: float = 10.0) -> bytes:
        """Whatever arrives next, at least one byte. TimeoutError when nothing does."""
        self.sock.settimeout(timeout_seconds)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._gone() from error
        if not data:
            raise self._gone()
        self._leaving_is_news = True
        self.record.received += data
        return data

    def send(self, data: bytes) -> None:
        self.sock.settimeout(SEND_SECONDS_MAX)
        try:
            self.sock.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._gone() from error

    def drip(self, data: bytes, interval_seconds: float) -> None:
        """One byte, then a pause, and so on."""
        for byte in data:
            self.send(bytes([byte]))
            self.stall(interval_seconds)

    def stall(self, seconds: float) -> None:
        """Say nothing for that long; ends early, with PeerGone, when the peer leaves."""
        if self.wait_closed(seconds):
            raise PeerGone

    def wait_closed(self, timeout_seconds: float) -> bool:
        """Tell whether the peer closes, half-closes or resets in that time. What it sends meanwhile stays unread."""
        if not self._poll(GONE, timeout_seconds):
            return False
        self._gone()
        return True

    def finish(self) -> None:
        """Send FIN and keep the receiving half open. Ends with PeerGone where the peer has reset the connection."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise PeerGone from error

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def hang_up(self) -> None:
        """End the connection from another thread: whatever its script waits for ends with PeerGone."""
        self.hung_up = True
        with contextlib.suppress(OSError):  # its script closed it first
            self.sock.shutdown(socket.SHUT_RDWR)

    def _decrypted(self) -> int:
        """Bytes that wait inside TLS, where poll cannot see them."""
        return self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0

    def _wait_for_a_request(self) -> None:
        kept_alive = self.requests_read > 0
        self.idle, self._leaving_is_news = kept_alive, not kept_alive  # between two requests anyone may close
        self._poll(select.POLLIN, IDLE_SECONDS_MAX)
        self.idle = False
        if self.superseded.is_set():
            raise Superseded

    def _read_whole_request(self, timeout_seconds: float) -> Request:
        raw = self._unread
        while HEAD_END not in raw:
            raw += self.receive(timeout_seconds)
        head_bytes, _, rest = raw.partition(HEAD_END)
        head = parse_head(head_bytes)
        body, decoder = b"", request_body(head)
        body += decoder.feed(rest)
        while not decoder.ended:
            data = self.receive(timeout_seconds)
            raw, body = raw + data, body + decoder.feed(data)
        self._unread = decoder.surplus
        method, path, _ = head.start_line.split(" ", 2)
        return Request(raw[: len(raw) - len(self._unread)], method, path, head.headers, body)

    def _poll(self, events: int, timeout_seconds: float) -> bool:
        if self.sock.fileno() < 0:
            raise PeerGone  # the script closed the connection itself
        poller = select.poll()
        poller.register(self.sock, events)
        return bool(poller.poll(timeout_seconds * 1000))

    def _gone(self) -> PeerGone:
        if self._leaving_is_news and not self.hung_up and self.sock.fileno() >= 0:
            self.record.note_close()
        self._leaving_is_news = False
        return PeerGone()
