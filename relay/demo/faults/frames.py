"""Frames that are rare, odd or too much: what a WHATWG parser must bear, and what it must not deliver."""

from relay.demo.faults.case import SILENCE, Case, Fault
from relay.demo.script import Pause, Script, chunk

BIG_FRAME_TEXT_BYTES = 2_097_152


def big_frame(case: Case) -> Script:
    return case.complete([*case.begun, case.dialect.delta("x" * BIG_FRAME_TEXT_BYTES), *case.ended])


def error_frame(case: Case) -> Script:
    """The upstream says mid-stream, in its route's dialect, that it failed."""
    return case.complete([*case.begun, case.dialect.error_frame("The model failed while it answered.")])


def double_done(case: Case) -> Script:
    """The terminal frame twice, and a frame after it."""
    return case.complete([*case.pieces, case.ended[-1], case.pieces[0]])


def crlf(case: Case) -> Script:
    return case.complete([piece.replace(b"\n", b"\r\n") for piece in case.pieces])


def cr(case: Case) -> Script:
    return case.complete([piece.replace(b"\n", b"\r") for piece in case.pieces])


def bom(case: Case) -> Script:
    first, *rest = case.pieces
    return case.complete([b"\xef\xbb\xbf" + first, *rest])


def comments(case: Case) -> Script:
    """A comment block of its own before each frame, and a comment line within it."""
    return case.complete([b": between frames\n\n" + b": within a frame\n" + piece for piece in case.pieces])


def ids(case: Case) -> Script:
    """Ids of the upstream's own."""
    return case.complete([b"id: up-%d\n" % number + piece for number, piece in enumerate(case.pieces)])


def retry(case: Case) -> Script:
    """Reconnection times, the second one bogus, each within a frame."""
    times = [b"retry: 1234\n", b"retry: soon\n"]
    return case.complete([times[number % 2] + piece for number, piece in enumerate(case.pieces)])


def odd_fields(case: Case) -> Script:
    """Unknown fields, a field without a colon, data without a space; the JSON stays the event's only data."""
    odd = [b"weather: fine\nlonely\n" + piece.replace(b"data: ", b"data:") for piece in case.pieces]
    return case.complete(odd)


def invalid_utf8(case: Case) -> Script:
    """Bytes that are no UTF-8, and line separators that end no line, inside a comment."""
    return case.complete([b": \xff\xfe \xe2\x80\xa8 \xc2\x85\n" + piece for piece in case.pieces])


def eof_mid_frame(case: Case) -> Script:
    """A well-framed body whose last event lacks its blank line."""
    return case.complete([*case.begun, case.ended[-1].rstrip(b"\n") + b"\n"])


def endless_frame(case: Case) -> Script:
    """One event that grows to 64 MiB and never ends."""
    yield from case.start()
    yield chunk(b"data: ")
    for _ in range(1_024):
        yield chunk(b"x" * 65_536)
        yield Pause(0)
    yield SILENCE


FRAMES: dict[str, Fault] = {
    "big-frame": big_frame,
    "error-frame": error_frame,
    "double-done": double_done,
    "crlf": crlf,
    "cr": cr,
    "bom": bom,
    "comments": comments,
    "ids": ids,
    "retry": retry,
    "odd-fields": odd_fields,
    "invalid-utf8": invalid_utf8,
    "eof-mid-frame": eof_mid_frame,
    "endless-frame": endless_frame,
}
