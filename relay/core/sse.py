"""Server-sent events, bytes in and whole frames out (WHATWG HTML, 9.2.6 "Interpreting an event stream").

A frame is one block with the blank line that ends it. Its bytes are never decoded, so a code point that is
split between two reads, or U+2028, cannot hurt. Line ends (CRLF, CR, LF) become LF on the way in, at once and
byte by byte correct, so that the search for a frame's end is one search for b"\\n\\n". What was searched once is
not searched again, and an unfinished frame is bounded.
"""

BOM = b"\xef\xbb\xbf"
PING = b": ping\n\n"


class LineEnds:
    """Turns CRLF and CR into LF, whatever the cuts between reads: a CR ends its line, an LF right behind it is
    dropped. `after_cr`: the next byte may be such an LF.
    """

    __slots__ = ("after_cr",)

    def __init__(self) -> None:
        self.after_cr = False

    def feed(self, data: bytes) -> bytes:
        if self.after_cr and data:
            self.after_cr = False
            if data[0] == 0x0A:
                data = data[1:]
        if b"\r" not in data:
            return data
        self.after_cr = data[-1] == 0x0D
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class FrameParser:
    """Cuts a body into frames. `overflowed`: a frame grew past its bound; from then on nothing is returned.

    The frames of one read are returned as they stand in it, in one piece: what most streams send needs no closer look,
    and costs a few passes in C over all frames together.
    """

    __slots__ = ("_bytes_max", "_lines", "_partial", "_searched", "_started", "overflowed")

    def __init__(self, frame_bytes_max: int) -> None:
        self._bytes_max = frame_bytes_max
        self._lines = LineEnds()
        self._partial = bytearray()
        self._searched = 0
        self._started = False
        self.overflowed = False

    @property
    def has_more(self) -> bool:
        """Whether anything came behind the last whole frame."""
        return bool(self._partial) or self.overflowed

    def feed(self, data: bytes) -> bytes:
        """Return the frames that `data` completes, each ending in one blank line; `frames_in` takes them apart."""
        if self.overflowed:
            return b""
        if self._lines.after_cr or data.find(b"\r") >= 0:
            data = self._lines.feed(data)
        if not self._started:
            data = self._without_bom(data)
        if self._partial:
            data = self._joined(data)
        last = data.rfind(b"\n\n")
        if last < 0:
            self._keep(data.lstrip(b"\n"))
            return b""
        if last + 2 < len(data):
            self._keep(data[last + 2 :])
            data = data[: last + 2]
        # Surely each within its bound, and nothing but a blank line between them?
        if len(data) <= self._bytes_max and data.find(b"\n\n\n") < 0 and data[:1] != b"\n":
            return data
        return self._cleaned(data)

    def _without_bom(self, data: bytes) -> bytes:
        """One leading BOM is not part of the stream; it may arrive one byte at a time."""
        data = bytes(self._partial) + data
        self._partial.clear()
        if len(data) < len(BOM) and BOM.startswith(data):
            self._partial += data
            return b""
        self._started = True
        return data[len(BOM) :] if data.startswith(BOM) else data

    def _joined(self, data: bytes) -> bytes:
        """What was kept and `data`, once a frame is complete in it; what was searched is not searched again."""
        if not self._started:
            return b""
        self._partial += data
        if self._partial.find(b"\n\n", self._searched) < 0:
            self._keep(b"")
            return b""
        whole = bytes(self._partial)
        self._partial.clear()
        self._searched = 0
        return whole

    def _cleaned(self, frames: bytes) -> bytes:
        clean = []
        for block in frames.split(b"\n\n")[:-1]:
            content = block.lstrip(b"\n")
            if len(content) > self._bytes_max:
                self._overflow()
                break
            if content:
                clean.append(content + b"\n\n")
        return b"".join(clean)

    def _keep(self, rest: bytes) -> None:
        self._partial += rest
        self._searched = max(0, len(self._partial) - 1)
        if len(self._partial) > self._bytes_max + 1:  # the one byte is the LF that may begin the blank line
            self._overflow()

    def _overflow(self) -> None:
        self.overflowed = True
        self._partial = bytearray()


def frames_in(batch: bytes) -> list[bytes]:
    """Take apart what `FrameParser.feed` returned."""
    return [block + b"\n\n" for block in batch.split(b"\n\n")[:-1]]


def data_of(frame: bytes) -> bytes:
    """The frame's data: its `data` lines joined by LF, one leading space removed from each."""
    values = []
    for line in frame.split(b"\n"):
        if line.startswith(b"data:"):
            values.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            values.append(b"")
    return b"\n".join(values)


def data_frame(payload: bytes, event: str = "") -> bytes:
    """One frame around one line of JSON."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + payload + b"\n\n"
