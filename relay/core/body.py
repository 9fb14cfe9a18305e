"""An HTTP/1.1 message body, bytes in and bytes out: chunked, by length, or until the connection closes (RFC 9112 6
and 7).
"""

import re
from typing import Protocol

# A chunk-size line has no business being longer: 16 hex digits, an extension, CRLF.
CHUNK_LINE_BYTES_MAX = 256
TRAILER_BYTES_MAX = 16_384
# Larger chunks are worth a closer look.
PLAIN_DIGITS_MAX = 8
_PLAIN_SIZE = re.compile(rb"[1-9a-fA-F][0-9a-fA-F]*\Z").match
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class BadBody(Exception):
    """The peer broke the framing of its body; what comes next cannot be told apart from what came before.

    `payload`: what the same read had brought before that.
    """

    payload = b""


class BodyDecoder(Protocol):
    """Takes a body's bytes as they arrive.

    `ended`: the framing says that all is there. `surplus`: more came after it.
    """

    ended: bool
    surplus: bool

    @property
    def length_bytes(self) -> int | None:
        """The declared length, if there is one."""

    def feed(self, data: bytes) -> bytes:
        """Return the payload within `data`; raises BadBody."""

    def at_eof(self) -> bool:
        """Whether an end of file at this point is the end of the body."""


class UntilClose:
    """A body that only the end of the connection ends: a cut looks like an end, so the payload must say when it is
    whole.
    """

    __slots__ = ("ended", "surplus")
    length_bytes = None

    def __init__(self) -> None:
        self.ended = self.surplus = False

    def feed(self, data: bytes) -> bytes:
        return data

    def at_eof(self) -> bool:
        self.ended = True
        return True


class ByLength:
    """A body of a declared number of bytes."""

    __slots__ = ("_left", "ended", "length_bytes", "surplus")

    def __init__(self, length_bytes: int) -> None:
        self._left = self.length_bytes = length_bytes
        self.ended = length_bytes == 0
        self.surplus = False

    def feed(self, data: bytes) -> bytes:
        payload = data[: self._left]
        self._left -= len(payload)
        self.ended = self._left == 0
        self.surplus = self.surplus or len(data) > len(payload)
        return payload

    def at_eof(self) -> bool:
        return self.ended


class Chunked:
    """A chunked body. Each byte is looked at once; what is kept between two reads is at most one line."""

    __slots__ = ("_left", "_line", "_state", "_trailer_bytes", "ended", "surplus")
    length_bytes = None

    def __init__(self) -> None:
        self._state, self._left, self._line = "size", 0, b""
        self._trailer_bytes = 0
        self.ended = self.surplus = False

    def at_eof(self) -> bool:
        return self.ended

    def feed(self, data: bytes) -> bytes:
        if self._state == "size" and not self._line:  # one whole chunk, the usual read of a stream, is told by its ends
            size_ends = data.find(b"\r\n", 0, PLAIN_DIGITS_MAX + 2)
            size = len(data) - size_ends - 4
            if size > 0 and data.startswith(b"%x\r\n" % size) and data.endswith(b"\r\n"):
                return data[size_ends + 2 : -2]
        out: list[bytes] = []
        try:
            self._decode(data, out)
        except BadBody as error:
            error.payload = b"".join(out)
            raise
        return out[0] if len(out) == 1 else b"".join(out)

    def _decode(self, data: bytes, out: list[bytes]) -> None:
        at, end = 0, len(data)
        if self._state == "size" and not self._line:
            at = self._take_whole(data, out)
        while at < end and not self.ended:
            if self._state == "data":
                take = min(self._left, end - at)
                out.append(data[at : at + take])
                at += take
                self._left -= take
                if not self._left:
                    self._state = "crlf"
            else:
                at = self._read_line(data, at)
        self.surplus = self.surplus or at < end

    def _take_whole(self, data: bytes, out: list[bytes]) -> int:
        """Take the chunks that are all there and plainly written, and return where they end: the usual read, in one
        turn a chunk.
        """
        at = 0
        while (stop := data.find(b"\r\n", at, at + PLAIN_DIGITS_MAX + 2)) > at:
            digits = data[at:stop]
            if not _PLAIN_SIZE(digits):
                break
            end = stop + 2 + int(digits, 16)
            if data[end : end + 2] != b"\r\n":
                break
            out.append(data[stop + 2 : end])
            at = end + 2
        return at

    def _read_line(self, data: bytes, at: int) -> int:
        stop = data.find(b"\n", at)
        line = self._line + data[at : stop + 1 or len(data)]
        if len(line) > CHUNK_LINE_BYTES_MAX and self._state != "trailer":
            raise BadBody("chunk line too long")
        if stop < 0:
            self._line = self._bounded(line)
            return len(data)
        self._line = b""
        self._take_line(line)
        return stop + 1

    def _bounded(self, line: bytes) -> bytes:
        if len(line) > TRAILER_BYTES_MAX:
            raise BadBody("trailer too long")
        return line

    def _take_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise BadBody("line end is not CRLF")
        if self._state == "size":
            self._take_size(line)
        elif self._state == "crlf":
            self._expect_blank(line)
        else:
            self._take_trailer(line)

    def _take_size(self, line: bytes) -> None:
        digits = line[:-2].split(b";", 1)[0].rstrip(b" \t")
        if not 0 < len(digits) <= 16 or not _HEX_DIGITS.issuperset(digits):
            raise BadBody("chunk size is not a number")
        self._left = int(digits, 16)
        self._state = "data" if self._left else "trailer"

    def _expect_blank(self, line: bytes) -> None:
        if line != b"\r\n":
            raise BadBody("chunk is longer than its size")
        self._state = "size"

    def _take_trailer(self, line: bytes) -> None:
        """Trailers are dropped: nothing that a caller may see depends on them."""
        self._trailer_bytes += len(line)
        if self._trailer_bytes > TRAILER_BYTES_MAX:
            raise BadBody("trailers too long")
        self.ended = line == b"\r\n"
