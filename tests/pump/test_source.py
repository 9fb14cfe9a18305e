"""The upstream's side alone: what a real urllib3 response over plain TCP and TLS hands over, and when."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket

from relay.pump.source import READ_BYTES_MAX, Source
from tests.pump.partners import LAST_CHUNK, STREAM_HEAD, Answering, chunk, turns_during, until
from tests.pump.stage import Ask, Stage

Take = Callable[..., tuple[Any, Answering]]


@pytest.fixture
def take(stage: Callable[..., Stage]) -> Iterator[Take]:
    """take(b"HTTP/1.1 …"): an answer whose head is in hand, and the connection on which the rest may follow."""
    made = stage()
    with ExitStack() as opened:

        def taken(sent: bytes = STREAM_HEAD) -> tuple[Any, Answering]:
            answer = gevent.spawn(opened.enter_context, made.upstreams.open([made.target], Ask(nullcontext())))
            upstream = made.upstream.next()
            upstream.send(sent)
            return answer.get(), upstream

        yield taken


@pytest.fixture
def watched() -> Iterator[Callable[[Source], list[bytes | None]]]:
    """watched(source): a list of all that is read from it from then on."""
    sources = []

    def watch(source: Source) -> list[bytes | None]:
        got: list[bytes | None] = []
        sources.append(source)
        source.watch(lambda: got.append(source.read()))
        return got

    yield watch
    for source in sources:
        source.stop()


def head(*headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode()


def test_bytes_that_came_with_the_head_are_in_hand(take: Take) -> None:
    answer, _ = take(STREAM_HEAD + b"5\r\nda")
    assert Source(answer).buffered == b"5\r\nda"


def test_nothing_is_in_hand_where_nothing_came(take: Take) -> None:
    assert Source(take()[0]).buffered == b""


def test_reading_never_waits(take: Take) -> None:
    source = Source(take()[0])
    with gevent.Timeout(0.5):
        assert source.read() is None


def test_an_unfinished_record_is_nothing_to_read_yet(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unfinished:
        def fileno(self) -> int:
            return 0

        def recv(self, size: int) -> bytes:
            raise ssl.SSLWantReadError

    monkeypatch.setattr(Source, "_sock", Unfinished())
    source = Source.__new__(Source)
    source._read_bytes_max, source.is_tls = 1000, True
    assert source.read() is None


def test_what_is_there_is_read_up_to_a_bound(take: Take) -> None:
    answer, upstream = take()
    source = Source(answer, 1000)
    upstream.send(b"x" * 1500)
    gevent.sleep(0.02)
    assert [len(source.read() or b""), len(source.read() or b""), source.read()] == [1000, 500, None]


def test_no_setting_makes_a_turn_longer_than_the_others_can_wait(take: Take) -> None:
    answer, upstream = take()
    source = Source(answer, 10_000_000)
    writing = gevent.spawn(upstream.send, b"x" * 300_000)
    gevent.sleep(0.05)
    assert len(source.read() or b"") <= READ_BYTES_MAX
    writing.kill()


def test_the_end_of_the_connection_is_told_from_silence(take: Take) -> None:
    answer, upstream = take()
    source = Source(answer)
    upstream.close()
    gevent.sleep(0.02)
    assert source.read() == b""


def test_a_reset_is_an_error(take: Take) -> None:
    answer, upstream = take()
    source = Source(answer)
    upstream.reset()
    gevent.sleep(0.02)
    with pytest.raises(ConnectionResetError):
        source.read()


def test_what_arrives_is_announced(take: Take, watched: Any) -> None:
    answer, upstream = take()
    got = watched(Source(answer))
    upstream.send(b"a")
    until(lambda: got == [b"a"], 0.5)
    upstream.send(b"b")
    until(lambda: got == [b"a", b"b"], 0.5)


def test_a_paused_source_announces_nothing_until_it_is_resumed(take: Take, watched: Any) -> None:
    answer, upstream = take()
    source = Source(answer)
    got = watched(source)
    source.pause()
    upstream.send(b"a")
    assert turns_during(0.05) < 30
    assert got == []
    source.resume()
    until(lambda: got == [b"a"], 0.5)


def test_a_stopped_source_announces_nothing(take: Take, watched: Any) -> None:
    answer, upstream = take()
    source = Source(answer)
    got = watched(source)
    source.stop()
    source.stop()
    upstream.send(b"a")
    gevent.sleep(0.03)
    assert got == []


KEPT = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("headers", "body", "reusable", "soon"),
    [
        ((CHUNKED,), chunk(b"a") + LAST_CHUNK, True, False),
        ((CHUNKED,), chunk(b"a"), False, True),
        ((CHUNKED,), chunk(b"a") + LAST_CHUNK + b"x", False, False),
        ((CHUNKED, "Connection: close"), chunk(b"a") + LAST_CHUNK, False, False),
        ((CHUNKED, "Connection: close"), chunk(b"a"), False, False),
        (("Content-Length: 2",), b"ab", True, False),
        (("Content-Length: 2",), b"a", False, True),
        (("Content-Length: 2",), b"abc", False, False),
        ((KEPT,), b"a", False, False),
    ],
)
def test_which_connections_may_be_used_again(
    take: Take, headers: tuple[str, ...], body: bytes, reusable: bool, soon: bool
) -> None:
    source = Source(take(head(*headers) + body)[0])
    source.decoder.feed(source.buffered)
    assert (source.is_reusable, source.may_end_soon) == (reusable, soon)


def test_what_tls_has_decrypted_behind_the_answer_makes_its_connection_useless(take: Take) -> None:
    """The next request would read it as its own answer."""
    source = Source(take(head("Content-Length: 4") + b"body")[0])
    source.decoder.feed(source.buffered)
    assert source.is_reusable
    source.is_tls, source._sock = True, SimpleNamespace(pending=lambda: 5)
    assert not source.is_reusable


class Rekeyed:
    """A TLS socket after a key update: what it has read already it returns once it could write."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._wants_write, self._decrypted = sock, True, b""

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def recv(self, size: int) -> bytes:
        if self._wants_write:
            self._wants_write, self._decrypted = False, self._sock.recv(size)
            raise ssl.SSLWantWriteError
        data, self._decrypted = self._decrypted, b""
        return data or bytes(self._sock.recv(size))


def test_a_socket_that_wants_to_write_first_is_read_once_it_could(
    take: Take, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, upstream = take()
    source = Source(answer)
    monkeypatch.setattr(Source, "_sock", Rekeyed(source._sock))
    source.is_tls = True
    got = watched(source)
    upstream.send(b"a")
    until(lambda: got == [None, b"a"], 0.5)
    upstream.send(b"b")
    until(lambda: got == [None, b"a", b"b"], 0.5)
    assert turns_during(0.05) < 30, "the writable socket kept the loop turning"
