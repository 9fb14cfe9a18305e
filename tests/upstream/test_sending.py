"""One request over one connection: how it is framed, in how many packets it leaves, and what an early answer is."""

import io
import socket
import ssl
import threading
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from relay.core.head import BadHead
from relay.upstream import sending
from relay.upstream.sending import JOINED_BYTES_MAX, PIECE_BYTES, ask

LINE = ("POST", "/v1/x", "h:1")
HEAD = b"POST /v1/x HTTP/1.1\r\nHost: h:1\r\nA: 1\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nB: 2\r\n\r\n"


class Sock:
    """Plays the upstream: `answers` are its reads, `breaks_at` the packet at which it is gone."""

    def __init__(self, *answers: bytes, breaks_at: int = 99, error: type[OSError] = BrokenPipeError) -> None:
        self.answers, self.breaks_at, self.error = list(answers), breaks_at, error
        self.packets: list[bytes] = []
        self.timeout: float | None = 0.0

    def settimeout(self, seconds: float | None) -> None:
        self.timeout = seconds

    def sendall(self, data: bytes) -> None:
        assert self.timeout is None, "it would not wait"
        if len(self.packets) == self.breaks_at:
            raise self.error
        self.packets.append(data)

    def recv(self, size: int) -> bytes:
        return self.answers.pop(0) if self.answers else b""


class Connection:
    def __init__(self, sock: Sock, *, is_connected: bool = True) -> None:
        self.sock: Sock | None = sock if is_connected else None
        self._later = sock

    def connect(self) -> None:
        self.sock = self._later


def sent(body: Any, headers: dict[str, str] | None = None) -> list[bytes]:
    sock = Sock(ANSWER)
    ask(Connection(sock), LINE, {"A": "1", **(headers or {})}, body)
    return sock.packets


def test_a_body_leaves_with_its_head_in_one_packet() -> None:
    assert sent(b"body") == [HEAD + b"Content-Length: 4\r\n\r\nbody"]
    assert sent(b"") == [HEAD + b"Content-Length: 0\r\n\r\n"]


def test_a_large_body_is_not_copied() -> None:
    body = b"x" * (JOINED_BYTES_MAX + 1)
    head, rest = sent(body)
    assert (head.endswith(b"\r\n\r\n"), rest) == (True, body)


def test_no_body_has_no_length() -> None:
    assert sent(None) == [HEAD + b"\r\n"]


def test_a_reader_of_known_length_passes_in_pieces() -> None:
    body = b"x" * (PIECE_BYTES + 10)
    head, *pieces = sent(io.BytesIO(body), {"Content-Length": str(len(body))})
    assert head == HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
    assert [len(piece) for piece in pieces] == [PIECE_BYTES, 10]


def test_a_reader_of_unknown_length_is_chunked() -> None:
    assert sent(io.BytesIO(b"body")) == [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"4\r\nbody\r\n",
        b"0\r\n\r\n",
    ]


def test_a_header_that_breaks_its_line_is_not_sent() -> None:
    sock = Sock(ANSWER)
    with pytest.raises(ValueError, match="the header A breaks"):
        ask(Connection(sock), LINE, {"A": "1\r\nB: 2"}, b"")
    assert sock.packets == []


def test_a_connection_is_made_first() -> None:
    sock = Sock(ANSWER)
    ask(Connection(sock, is_connected=False), LINE, {}, b"")
    assert len(sock.packets) == 1


def test_a_head_that_comes_in_pieces_is_one_and_what_is_behind_it_is_kept() -> None:
    head, rest = ask(Connection(Sock(ANSWER[:5], ANSWER[5:] + b"body", b"more")), LINE, {}, b"")
    assert (head.status, head.headers, rest) == (200, (("B", "2"),), b"body")


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError, ssl.SSLEOFError])
def test_an_answer_that_came_before_all_was_sent_is_an_answer(error: type[OSError]) -> None:
    reader = io.BytesIO(b"x" * 100_000)
    head, _ = ask(Connection(Sock(ANSWER, breaks_at=2, error=error)), LINE, {}, reader)
    assert head.status == 200
    assert reader.tell() < 100_000


def test_an_answer_to_a_body_that_was_reset_is_still_there_to_read() -> None:
    """The kernel keeps what came before the reset; an upstream that refuses a large body closes over the rest of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        refusing = threading.Thread(target=refuse, args=(theirs,))
        refusing.start()
        with ours:
            head, _ = ask(SimpleNamespace(sock=ours), LINE, {}, b"x" * 8_000_000)
        refusing.join(5)
    assert head.status == 413


def refuse(sock: socket.socket) -> None:
    with sock:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


def test_a_body_that_the_caller_broke_off_is_not_the_upstreams_fault() -> None:
    class Reader:
        def read(self, size: int) -> bytes:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        ask(Connection(Sock(ANSWER)), LINE, {}, Reader())


@pytest.mark.parametrize("answers", [(), (ANSWER[:-1],)], ids=["nothing", "half a head"])
def test_an_end_before_the_head_is_whole_is_a_broken_head(answers: tuple[bytes, ...]) -> None:
    with pytest.raises(BadHead):
        ask(Connection(Sock(*answers)), LINE, {}, b"")


def test_what_the_body_raises_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    class TooLarge(Exception):
        pass

    class Reader:
        def read(self, size: int) -> bytes:
            raise TooLarge

    monkeypatch.setattr(sending, "PIECE_BYTES", 10)
    with pytest.raises(TooLarge):
        ask(Connection(Sock(ANSWER)), LINE, {}, Reader())


def test_what_a_plain_socket_does_not_take_at_once_follows_in_order() -> None:
    """Stands on gevent's socket having the native one, which never waits, as `_sock`."""
    near, far = gevent.socket.socketpair()
    body = bytes(range(256)) * 20_000
    with near, far:
        asking = gevent.spawn(ask, Connection(near), LINE, {"A": "1"}, body)
        received = b""
        with gevent.Timeout(5):
            while len(received) < len(body) or not received.endswith(body[-256:]):
                received += far.recv(65_536)
            far.sendall(ANSWER)
            head, _ = asking.get()
    assert received == HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert head.status == 200
