"""Callers with a large body that nobody wants to read: one that listens while it sends, one that does not."""

import itertools
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.live.bench.caller import RawCaller
from tests.live.bench.wire import HEAD_END, LAST_CHUNK, Head, answer_body, chunk, parse_head

PIECE = 64 * 1024


@dataclass(frozen=True)
class Pushed:
    """What became of it. `whole`: the answer's framing says so. `reset`: an error met while sending or reading."""

    head: Head
    body: bytes
    whole: bool
    sent_bytes: int
    reset: bool
    seconds: float


def body_pieces(count: int, chunked: bool) -> Iterator[bytes]:
    """A body of that many bytes, as it goes over the wire."""
    if not chunked:
        return itertools.repeat(b"x" * PIECE, count // PIECE)
    return itertools.chain(itertools.repeat(chunk(b"x" * PIECE), count // PIECE), [LAST_CHUNK])


def listening(port: int, head: bytes, pieces: Iterator[bytes], timeout_seconds: float = 15.0) -> Pushed:
    """Send until an answer begins, then no more, and read to the connection's end, as curl and browsers do."""
    began = time.monotonic()
    with RawCaller(port) as caller:
        caller.send(head)
        sent, reset = 0, False
        for piece in pieces:
            if select.select([caller.sock], [], [], 0)[0]:
                break
            sent, reset = sent + len(piece), not _sent(caller.sock, piece)
            if reset:
                break
        return _read(caller, sent, reset, began, timeout_seconds)


def deaf(port: int, head: bytes, pieces: Iterator[bytes], timeout_seconds: float = 15.0) -> Pushed:
    """Send all of it, and only then look for an answer, as http.client does."""
    began = time.monotonic()
    with RawCaller(port) as caller:
        caller.send(head)
        sent = 0
        for piece in pieces:
            if not _sent(caller.sock, piece):
                return _read(caller, sent, True, began, timeout_seconds)
            sent += len(piece)
        return _read(caller, sent, False, began, timeout_seconds)


def _sent(sock: socket.socket, piece: bytes) -> bool:
    try:
        sock.sendall(piece)
    except TimeoutError:
        raise
    except OSError:
        return False
    return True


def _read(caller: RawCaller, sent: int, reset: bool, began: float, timeout_seconds: float) -> Pushed:
    """Interim answers left out."""
    caller.wait_closed(timeout_seconds)
    raw, _, rest = bytes(caller.received).partition(HEAD_END)
    while raw.startswith(b"HTTP/1.1 1"):
        raw, _, rest = rest.partition(HEAD_END)
    assert raw, f"no answer, {sent} bytes sent, reset: {reset or caller.was_reset}"
    head = parse_head(raw)
    decoder = answer_body(head, "POST")
    body = decoder.feed(rest)
    return Pushed(head, body, decoder.ended, sent, reset or caller.was_reset, time.monotonic() - began)
