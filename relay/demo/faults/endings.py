"""Bodies that end too early, too late, or in a way of their own."""

import zlib

from relay.demo.faults.case import SILENCE, Case, Fault
from relay.demo.script import LAST_CHUNK, End, Pause, Script, chunk, head


def reset(case: Case) -> Script:
    yield from case.start()
    yield Pause(0.01)  # what was sent must arrive before the reset overtakes it
    yield End.RESET


def eof_mid_chunk(case: Case) -> Script:
    yield from case.start()
    yield chunk(case.ended[0])[:-7]
    yield End.CLOSE


def short_length(case: Case) -> Script:
    """The Content-Length of the whole answer, then only its beginning."""
    yield head(200, case.content_type, f"Content-Length: {sum(map(len, case.pieces))}")
    yield from case.begun
    yield End.CLOSE


def eof_no_done(case: Case) -> Script:
    """A well-framed body that ends before the answer does."""
    return case.complete(case.begun)


def eof_delimited(case: Case) -> Script:
    """The same without any framing: only the close says that it is over."""
    yield head(200, case.content_type, "Connection: close")
    yield from case.begun
    yield End.CLOSE


def close_delimited(case: Case) -> Script:
    """A right answer that only the close ends."""
    yield head(200, case.content_type, "Connection: close")
    yield from case.pieces
    yield End.CLOSE


def no_done_after_finish(case: Case) -> Script:
    return case.complete(case.pieces[:-1])


def stall(case: Case) -> Script:
    yield from case.start()
    yield SILENCE


def late_end(case: Case) -> Script:
    """The terminal frame, but its last chunk only after the silence."""
    yield case.head()
    yield from case.paced(case.pieces)
    yield SILENCE
    yield LAST_CHUNK


def trickle(case: Case) -> Script:
    """The body byte by byte, one per interval (default 100 ms)."""
    yield case.head()
    for byte in b"".join(case.pieces):
        yield chunk(bytes([byte]))
        yield Pause(case.interval_seconds or 0.1)
    yield LAST_CHUNK


def split(case: Case) -> Script:
    """The body byte by byte without a pause: line ends and code points fall apart."""
    return case.complete([bytes([byte]) for byte in b"".join(case.pieces)])


def endless_chunk_size(case: Case) -> Script:
    yield from case.start()
    for _ in range(256):
        yield b"0" * 4_096
        yield Pause(0)
    yield SILENCE


def drop_idle(case: Case) -> Script:
    """A right answer on a connection that seems to stay open, and then does not."""
    yield from case.complete(case.pieces)
    yield End.CLOSE


def gzip(case: Case) -> Script:
    """Compressed although nobody asked for it; each frame is flushed."""
    packer = zlib.compressobj(wbits=31)
    yield case.head("Content-Encoding: gzip")
    yield from case.paced([packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in case.pieces])
    yield chunk(packer.flush()) + LAST_CHUNK


ENDINGS: dict[str, Fault] = {
    "reset": reset,
    "eof-mid-chunk": eof_mid_chunk,
    "short-length": short_length,
    "eof-no-done": eof_no_done,
    "eof-delimited": eof_delimited,
    "close-delimited": close_delimited,
    "no-done-after-finish": no_done_after_finish,
    "stall": stall,
    "late-end": late_end,
    "trickle": trickle,
    "split": split,
    "endless-chunk-size": endless_chunk_size,
    "drop-idle": drop_idle,
    "gzip": gzip,
}
