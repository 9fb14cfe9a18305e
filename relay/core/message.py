"""The head of an HTTP/1.1 message: a request's, written; an answer's, read so strictly that no two readers can disagree
about it (RFC 9112 3 to 5).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from relay.core.head import BadHead, Headers

HEAD_BYTES_MAX = 262_144
LINE_BYTES_MAX = 65_536
HEADERS_MAX = 100
CONTINUE = 100
_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n\0]*)?\Z")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)\Z")
_FORBIDDEN = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """Status and headers of an answer, in their order, without the space around their values."""

    http11: bool
    status: int
    headers: Headers


class HeadReader:
    """Takes an answer's bytes as they come until its head is there. `rest`: what came behind it.

    Answers of status 100 are passed over; all heads together are bounded. What does not begin like an answer is none,
    as soon as its first line is there.
    """

    def __init__(self) -> None:
        self.rest = b""
        self._searched, self._begun = 0, False
        self._bytes_left = HEAD_BYTES_MAX

    def feed(self, data: bytes) -> AnswerHead | None:
        """Return the head once it is whole. Raises BadHead."""
        self.rest = self.rest + data if self.rest else data
        while (end := _END.search(self.rest, self._searched)) is not None:
            raw, self.rest = self.rest[: end.start()], self.rest[end.end() :]
            self._searched, self._begun = 0, False
            head = _parsed(raw)
            self._bytes_left -= end.end()
            self._require_room(0)
            if head.status != CONTINUE:
                return head
        if not self._begun and (stop := self.rest.find(b"\n", self._searched)) >= 0:
            _status(self.rest[:stop])
            self._begun = True
        self._searched = max(0, len(self.rest) - 2)
        self._require_room(len(self.rest))
        return None

    def _require_room(self, bytes_: int) -> None:
        if bytes_ > self._bytes_left or self._bytes_left < 0:
            raise BadHead("the head is too long")


def request_head(method: str, path: str, host: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the head of a request. Raises ValueError for a header that would break it."""
    lines = [f"{method} {path} HTTP/1.1\r\nHost: {host}"]
    for name, value in headers:
        if _FORBIDDEN.search(value):
            raise ValueError(f"the header {name} breaks its line")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _parsed(raw: bytes) -> AnswerHead:
    first, *lines = raw.split(b"\n")
    http11, status = _status(first)
    if len(lines) > HEADERS_MAX:
        raise BadHead("the number of headers")
    return AnswerHead(http11, status, tuple(map(_header, lines)))


def _status(line: bytes) -> tuple[bool, int]:
    match = _STATUS_LINE.match(line.removesuffix(b"\r"))
    if match is None or len(line) > LINE_BYTES_MAX:
        raise BadHead("the status line")
    return match[1] == b"1", int(match[2])


def _header(line: bytes) -> tuple[str, str]:
    match = _HEADER_LINE.match(line.removesuffix(b"\r"))
    if match is None or len(line) > LINE_BYTES_MAX:
        raise BadHead("a header line")
    return match[1].decode("latin-1"), match[2].strip(b" \t").decode("latin-1")
