"""HTTP/1.1 as bytes, for both ends of the bench (RFC 9112); none of the relay's code, so that one checks the other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

HEAD_END = b"\r\n\r\n"
PING = b": ping\n\n"

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Head:
    """The first line and the headers of a message, in order, names as they were sent."""

    start_line: str
    headers: Headers = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.start_line.split(" ", 2)[1])

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        return next(iter(self.all_of(name)), None)

    def all_of(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def parse_head(raw: bytes) -> Head:
    start_line, *lines = raw.removesuffix(HEAD_END).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(start_line, [(name, value.strip(" \t")) for name, _, value in pairs])


class Body(Protocol):
    """A body being received. `ended`: its framing says that it is complete. `surplus`: bytes that came behind it."""

    ended: bool
    surplus: bytes

    def feed(self, data: bytes) -> bytes: ...


class ChunkedBody:
    """Takes chunks apart; `ended` turns true with the last chunk and its trailers. ValueError on bad framing."""

    def __init__(self) -> None:
        self.ended, self.surplus = False, b""
        self._waiting = b""

    def feed(self, data: bytes) -> bytes:
        self._waiting += data
        body = b""
        while (piece := self._next_chunk()) is not None:
            body += piece
        return body

    def _next_chunk(self) -> bytes | None:
        size_line, line_end, rest = self._waiting.partition(b"\r\n")
        if self.ended or not line_end:
            return None
        size = int(size_line.split(b";")[0], 16)
        if size == 0:
            self._end(rest)
            return None
        if len(rest) < size + 2:
            return None
        if rest[size : size + 2] != b"\r\n":
            raise ValueError(f"no line end behind a chunk of {size} bytes: {rest[size : size + 20]!r}")
        self._waiting = rest[size + 2 :]
        return rest[:size]

    def _end(self, trailers: bytes) -> None:
        if trailers.startswith(b"\r\n"):
            self.surplus, self.ended = trailers[2:], True
        elif HEAD_END in trailers:
            self.surplus, self.ended = trailers.partition(HEAD_END)[2], True


class CountedBody:
    """A body of a known length in bytes."""

    def __init__(self, length: int) -> None:
        self.ended, self.surplus = length == 0, b""
        self._missing = length

    def feed(self, data: bytes) -> bytes:
        body, self.surplus = data[: self._missing], self.surplus + data[self._missing :]
        self._missing -= len(body)
        self.ended = self._missing == 0
        return body


class UntilCloseBody:
    """A body that ends with its connection: its reader sets `ended` when the sender closed, but not after a reset."""

    def __init__(self) -> None:
        self.ended, self.surplus = False, b""

    def feed(self, data: bytes) -> bytes:
        return data


def request_body(head: Head) -> Body:
    if "chunked" in (head.header("transfer-encoding") or ""):
        return ChunkedBody()
    return CountedBody(int(head.header("content-length") or 0))


def answer_body(head: Head, method: str) -> Body:
    if method == "HEAD" or head.status in (204, 304):
        return CountedBody(0)
    if "chunked" in (head.header("transfer-encoding") or ""):
        return ChunkedBody()
    length = head.header("content-length")
    return UntilCloseBody() if length is None else CountedBody(int(length))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def without_pings(frames: Iterable[bytes]) -> list[bytes]:
    return [frame for frame in frames if frame != PING]
