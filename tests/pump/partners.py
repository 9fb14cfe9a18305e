"""The two peers of a stream, on gevent's loop: a caller that does what a test says, and an upstream that answers so."""

import struct
from collections.abc import Callable
from contextlib import suppress

import gevent
import pytest
from gevent import queue, socket
from gevent.ssl import SSLContext

from relay.core.body import Chunked

SECONDS_MAX = 5.0
SMALL_BYTES = 4096
DONE = b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def frame(text: str) -> bytes:
    """One `data` frame."""
    return f"data: {text}\n\n".encode()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def until(true: Callable[[], object], seconds_max: float = SECONDS_MAX) -> None:
    """Let the loop run until something is true. Raises gevent.Timeout."""
    with gevent.Timeout(seconds_max):
        while not true():
            gevent.sleep(0.002)


def turns_during(seconds: float) -> int:
    """How often the loop turned meanwhile: a handful when nothing happens."""
    loop = gevent.get_hub().loop
    before = loop.iteration
    gevent.sleep(seconds)
    turns: int = loop.iteration - before
    return turns


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection, with small buffers."""
    with socket.socket() as listener:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            listener.setsockopt(socket.SOL_SOCKET, option, SMALL_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        near = socket.socket()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


def fill(sock: socket.socket) -> None:
    """Fill the buffers behind a socket to the last byte; it is non-blocking afterwards."""
    sock.settimeout(0.0)
    for size in (1000, 1):
        refused = 0
        while refused < 3:
            try:
                sock.send(b"x" * size)
            except BlockingIOError:
                refused += 1
                gevent.sleep(0.01)


class Peer:
    """One end of a connection. Every wait is bounded."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        sock.settimeout(SECONDS_MAX)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Read until `mark` was received; return all that was."""
        while mark not in self.received:
            data = self.sock.recv(65_536)
            assert data, f"closed before {mark!r}, after {self.received[-300:]!r}"
            self.received += data
        return self.received

    def to_the_end(self) -> bytes:
        """Read until the other side closes. Raises ConnectionResetError where it reset."""
        while data := self.sock.recv(65_536):
            self.received += data
        return self.received

    def gets_nothing(self, seconds: float) -> bool:
        """Whether nothing arrives for so long, not even the end of the connection."""
        self.sock.settimeout(seconds)
        try:
            self.received += self.sock.recv(65_536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(SECONDS_MAX)
        return False

    def sees_the_other_leave(self, seconds_max: float = SECONDS_MAX) -> bool:
        """Whether the connection ends, in whichever way, within the time; what arrives before is kept."""
        with gevent.Timeout(seconds_max, False):
            with suppress(ConnectionResetError):
                self.to_the_end()
            return True
        return False

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Caller(Peer):
    """Asks and reads."""

    def ask(self, version: str = "1.1", headers: str = "") -> None:
        self.send(f"GET / HTTP/{version}\r\nHost: x\r\n{headers}\r\n".encode())

    def forget(self) -> None:
        """Before the next answer on the same connection."""
        self.received = b""

    @property
    def head(self) -> bytes:
        return self.received.partition(b"\r\n\r\n")[0]

    @property
    def after_head(self) -> bytes:
        """The body as it was framed."""
        return self.received.partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        """The payload so far of a chunked answer."""
        return Chunked().feed(self.after_head)

    @property
    def is_whole(self) -> bool:
        """Whether the chunked framing is complete, and nothing stands behind it."""
        decoder = Chunked()
        decoder.feed(self.after_head)
        return decoder.ended and not decoder.surplus


WAYS_TO_LEAVE = pytest.mark.parametrize(
    "leave", [Caller.close, Caller.reset, Caller.half_close], ids=lambda way: way.__name__
)


class Response:
    """As much of gunicorn's response as a wire needs."""

    def __init__(self, sock: socket.socket, chunked: bool) -> None:
        self.sock, self.chunked = sock, chunked


class Answering(Peer):
    """One connection as the upstream sees it, its request being read already."""

    def head(self, *headers: str, kind: str = "text/event-stream") -> None:
        """An answer's head; chunked unless `headers` frame it otherwise."""
        framing = headers or ("Transfer-Encoding: chunked",)
        self.send("\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {kind}", *framing, "", ""]).encode())

    def say(self, *frames: bytes) -> None:
        """Each frame in a chunk, all in one write."""
        self.send(b"".join(chunk(one) for one in frames))

    def finish(self) -> None:
        """The terminal frame and the last chunk."""
        self.send(chunk(DONE) + LAST_CHUNK)

    def read_request(self) -> None:
        """Raises AssertionError where the connection ends without one."""
        self.received = b""
        self.until(b"\r\n\r\n")


class Upstream:
    """Listens, on TLS where it is given a context; a test takes connections from it and answers them itself."""

    def __init__(self, tls: SSLContext | None) -> None:
        self._tls = tls
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self.accepted: list[Answering] = []
        self._asked: queue.Queue[Answering] = queue.Queue()
        self._acceptor = gevent.spawn(self._accept)

    def next(self) -> Answering:
        """The next new connection, once its request was read."""
        return self._asked.get(timeout=SECONDS_MAX)

    def close(self) -> None:
        self._acceptor.kill()
        self._listener.close()
        for connection in self.accepted:
            connection.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self.accepted.append(Answering(sock))
            self.accepted[-1].read_request()
            self._asked.put(self.accepted[-1])
