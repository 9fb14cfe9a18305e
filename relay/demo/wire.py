"""Reading HTTP/1.1 requests by hand (RFC 9112), bounded.

Enough for a demo and test partner on loopback; never meant for the open net.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES_MAX = 65_536
BODY_BYTES_MAX = 4_194_304
CHUNK_LINE_BYTES_MAX = 1_024

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,7}")
_LENGTH = re.compile(r"[0-9]{1,10}")


class CallerGone(Exception):
    """The caller closed or reset its connection, or was too slow to be waited for."""


class Refused(Exception):
    """What was sent is no request that this server reads; `status` is the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """One request; header names in lower case, the path without its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def keeps_alive(self) -> bool:
        return "close" not in self.headers.get("connection", "").lower()


class Reader:
    """Cuts a connection's bytes into requests.

    `receive()` returns the next bytes, b"" at the end; `announce(bytes)` sends the 100 that some callers wait for.
    """

    def __init__(self, receive: Callable[[], bytes], announce: Callable[[bytes], object]) -> None:
        self._receive = receive
        self._announce = announce
        self._buffer = bytearray()

    def push(self, data: bytes) -> int:
        """Keep bytes that came early; returns how many now wait."""
        self._buffer += data
        return len(self._buffer)

    def await_first_byte(self) -> None:
        """Raises CallerGone when the caller ends instead."""
        if not self._buffer:
            self._fill()

    def read(self) -> Request:
        """The next request, whole. Raises Refused and CallerGone."""
        request = _parse_head(self._until(b"\r\n\r\n", HEAD_BYTES_MAX))
        if request.headers.get("expect", "").lower() == "100-continue":
            self._announce(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(request.method, request.path, request.headers, self._body(request.headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            return self._chunked(headers)
        length = headers.get("content-length", "0")
        if not _LENGTH.fullmatch(length):
            raise Refused(400, "The Content-Length is not a number.")
        return self._exactly(int(length))

    def _chunked(self, headers: dict[str, str]) -> bytes:
        if headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers:
            raise Refused(400, "The body's framing is ambiguous or unknown.")
        body = bytearray()
        while size := self._chunk_size():
            body += self._exactly(size, BODY_BYTES_MAX - len(body))
            self._line_end()
        self._skip_trailers()
        return bytes(body)

    def _chunk_size(self) -> int:
        size = self._until(b"\r\n", CHUNK_LINE_BYTES_MAX).partition(b";")[0].strip()
        if not _SIZE.fullmatch(size):
            raise Refused(400, "A chunk's size is not a hexadecimal number.")
        return int(size, 16)

    def _line_end(self) -> None:
        if self._exactly(2) != b"\r\n":
            raise Refused(400, "A chunk is longer than it said.")

    def _skip_trailers(self) -> None:
        left = HEAD_BYTES_MAX
        while line := self._until(b"\r\n", left):
            left -= len(line)

    def _until(self, mark: bytes, bytes_max: int) -> bytes:
        """The bytes before `mark`, which is taken too."""
        searched = 0
        while (at := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > bytes_max:
                raise Refused(431, "The head is too large.")
            searched = max(0, len(self._buffer) - len(mark) + 1)
            self._fill()
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return found

    def _exactly(self, count: int, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        if count > bytes_max:
            raise Refused(413, f"The body is larger than {BODY_BYTES_MAX} bytes.")
        while len(self._buffer) < count:
            self._fill()
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    def _fill(self) -> None:
        data = self._receive()
        if not data:
            raise CallerGone
        self._buffer += data


def _parse_head(head: bytes) -> Request:
    first, *lines = head.split(b"\r\n")
    words = first.decode("latin-1").split(" ")
    if any(map(_FORBIDDEN.search, [first, *lines])) or len(words) != 3:  # noqa: PLR2004 method, target, version
        raise Refused(400, "The request line or a header is malformed.")
    if words[2] != "HTTP/1.1":
        raise Refused(505, "This demo server speaks HTTP/1.1 only.")
    return Request(words[0], words[1].partition("?")[0], _parse_headers(lines))


def _parse_headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise Refused(400, "A header line is malformed.")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
