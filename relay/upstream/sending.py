"""One request out and one answer's head in, over one connection, once."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from gevent.socket import socket

from relay.core.head import BadHead
from relay.core.message import AnswerHead, HeadReader, request_head

# Head and body leave in one packet up to here; a larger body is not worth copying.
JOINED_BYTES_MAX = 65_536
READ_BYTES = 65_536
PIECE_BYTES = 16_384


def ask(connection: Any, line: tuple[str, str, str], headers: Mapping[str, str], body: Any) -> tuple[AnswerHead, bytes]:
    """Send and return the answer's head with what came behind it. `line`: method, path, host; `body`: bytes, a reader,
    or None.

    Raises what connecting, sending and `body.read` raise, ValueError for what cannot be sent, BadHead.
    """
    if connection.sock is None:
        connection.connect()
    sock = connection.sock
    sock.settimeout(None)  # the pump may have left it at zero
    for data in _pieces(line, headers, body):
        try:
            _send(sock, data)
        # An upstream that closed before it had read all may have answered; over unread bytes its close is a reset, and
        # what came before that can still be read. TLS says it its own way.
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            break
    return _read_head(sock)


def _send(sock: Any, data: bytes) -> None:
    """Past gevent's layers where a plain socket takes all at once; what it does not take waits in them."""
    sent = 0
    if type(sock) is socket:  # TLS has one of its own
        with suppress(BlockingIOError):
            sent = sock._sock.send(data)
    if sent < len(data):
        sock.sendall(data[sent:])


def _pieces(line: tuple[str, str, str], headers: Mapping[str, str], body: Any) -> Iterator[bytes]:
    if body is None:
        yield request_head(*line, headers.items())
    elif isinstance(body, bytes):
        head = request_head(*line, [*headers.items(), ("Content-Length", str(len(body)))])
        yield from (head + body,) if len(body) <= JOINED_BYTES_MAX else (head, body)
    elif "Content-Length" in headers:
        yield request_head(*line, headers.items())
        yield from iter(lambda: body.read(PIECE_BYTES), b"")
    else:
        yield request_head(*line, [*headers.items(), ("Transfer-Encoding", "chunked")])
        yield from (b"%x\r\n%b\r\n" % (len(data), data) for data in iter(lambda: body.read(PIECE_BYTES), b""))
        yield b"0\r\n\r\n"


def _read_head(sock: Any) -> tuple[AnswerHead, bytes]:
    reader = HeadReader()
    while data := sock.recv(READ_BYTES):
        head = reader.feed(data)
        if head is not None:
            return head, reader.rest
    raise BadHead("it ended before its head was whole")
