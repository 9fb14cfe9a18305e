"""The numbered frames of one stream, as far as they are kept: appended at the end, read from any number, bounded."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

# What a piece costs beside its bytes: an entry in two lists, and two objects.
PIECE_BYTES = 128
# The lists are cut where this many dead entries stand at their head.
DEAD_PIECES_MAX = 512


class Evicted(Exception):
    """What was asked for was kept once, and is not any more."""


class Tally:
    """What several logs keep together. `bytes`: each piece with its overhead."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class FrameLog:
    """Pieces of one or more whole frames. `last_seq`: 0 while there is none; `evicted_seq`: the last that is gone.

    `bytes`: what is kept, each piece with its overhead; counted in `tally` too.
    """

    __slots__ = ("_first", "_lasts", "_pieces", "_tally", "bytes", "evicted_seq", "last_seq")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._pieces: list[bytes] = []
        self._lasts: list[int] = []  # the number of each piece's last frame
        self._first = 0  # the first entry that is alive
        self.bytes = self.last_seq = self.evicted_seq = 0

    def append(self, data: bytes, last_seq: int) -> None:
        """Add frames, the last of which has the number `last_seq`."""
        self._pieces.append(data)
        self._lasts.append(last_seq)
        self.last_seq = last_seq
        self._count(len(data) + PIECE_BYTES)

    def pieces(self) -> Iterator[tuple[bytes, int]]:
        """All that is kept, each piece with the number of its last frame."""
        return zip(islice(self._pieces, self._first, None), islice(self._lasts, self._first, None), strict=True)

    def last_piece(self) -> bytes:
        """The frames that were appended last; nothing where none are kept."""
        return self._pieces[-1] if self._pieces else b""

    def clear(self) -> None:
        """Forget all of it."""
        self._count(-self.bytes)
        self.evicted_seq, self._first = self.last_seq, 0
        self._pieces.clear()
        self._lasts.clear()

    def skip_to(self, seq: int) -> None:
        """Forget all of it, and go on behind number `seq`."""
        self.clear()
        self.evicted_seq = self.last_seq = seq

    def is_over(self, bytes_max: int) -> bool:
        """Whether there is more than that, in more than the one piece that is always kept."""
        return self.bytes > bytes_max and len(self._pieces) - self._first > 1

    def read(self, after: int, bytes_max: int) -> tuple[bytes, int]:
        """Return frames behind number `after`, at least one where there is one, and the number of the last of them.

        Raises Evicted.
        """
        if after < self.evicted_seq:
            raise Evicted
        if after >= self.last_seq:
            return b"", after
        index = bisect_right(self._lasts, after, self._first)
        data = self._behind(index, after)
        end = index + 1
        if end < len(self._pieces):
            pieces, size = [data], len(data)
            for piece in islice(self._pieces, end, None):
                size += len(piece)
                if size > bytes_max:
                    break
                pieces.append(piece)
                end += 1
            data = b"".join(pieces)
        return data, self._lasts[end - 1]

    def evict(self, bytes_max: int, needed_after: int) -> None:
        """Forget the oldest pieces until the rest fits; what comes behind the number `needed_after` stays."""
        while self.is_over(bytes_max):
            last = self._lasts[self._first]
            if last > needed_after:
                break
            self._count(-len(self._pieces[self._first]) - PIECE_BYTES)
            self._pieces[self._first] = b""
            self.evicted_seq = last
            self._first += 1
        if self._first > DEAD_PIECES_MAX:
            del self._pieces[: self._first], self._lasts[: self._first]
            self._first = 0

    def _count(self, change: int) -> None:
        self.bytes += change
        self._tally.bytes += change

    def _behind(self, index: int, after: int) -> bytes:
        """The piece without the frames that the reader has."""
        piece = self._pieces[index]
        before = self._lasts[index - 1] if index > self._first else self.evicted_seq
        return behind(piece, after - before)


def behind(piece: bytes, frames: int) -> bytes:
    """The piece without its first `frames` frames."""
    return piece.split(b"\n\n", frames)[-1] if frames > 0 else piece
