"""Heads that come late, not at all, or that no server should send (RFC 9112, 4 to 6)."""

from relay.demo.faults.case import SILENCE, Case, Fault
from relay.demo.script import CHUNKED, LAST_CHUNK, End, Pause, Script, head

_HOSTILE = (
    "Set-Cookie: session=upstream",
    "Access-Control-Allow-Origin: *",
    "Access-Control-Allow-Credentials: true",
    "Content-Security-Policy: default-src *",
    "X-Accel-Redirect: /etc/passwd",
    "X-Accel-Buffering: yes",
    "Location: http://elsewhere.invalid/",
    "Connection: x-nominated",
    "X-Nominated: 1",
    "Server: upstream",
)


def silent(case: Case) -> Script:
    """Takes the request and never answers."""
    yield SILENCE


def slow_head(case: Case) -> Script:
    """The head byte by byte, one per interval (default 100 ms)."""
    for byte in case.head():
        yield bytes([byte])
        yield Pause(case.interval_seconds or 0.1)
    yield from case.paced(case.pieces)
    yield LAST_CHUNK


def early_hints(case: Case) -> Script:
    """A 103 before the 200 (RFC 8297)."""
    yield head(103, "Link: </style.css>; rel=preload")
    yield from case.complete(case.pieces)


def hostile_headers(case: Case) -> Script:
    """A right answer with headers that a relay must not pass on."""
    return case.complete(case.pieces, *_HOSTILE)


def huge_header(case: Case) -> Script:
    return case.complete(case.pieces, "x-huge: " + "h" * 66_560)


def many_headers(case: Case) -> Script:
    return case.complete(case.pieces, *(f"x-header-{number}: {number}" for number in range(101)))


def bad_header(case: Case) -> Script:
    """A control character in a header's value."""
    return case.complete(case.pieces, "x-bad: a\x01b\x7f")


def bad_reason(case: Case) -> Script:
    yield case.head().replace(b"OK", b"O\x01K\xff", 1)
    yield from case.paced(case.pieces)
    yield LAST_CHUNK


def garbage(case: Case) -> Script:
    """No HTTP at all."""
    yield b"\x00\x01\x02 this is not HTTP\r\n\r\n"
    yield End.CLOSE


def http_09(case: Case) -> Script:
    """A body without any head, as HTTP/0.9 had it."""
    yield b"".join(case.pieces)
    yield End.CLOSE


def _framed(*headers: str) -> Fault:
    def misframed(case: Case) -> Script:
        body = b"".join(case.pieces)
        yield head(200, case.content_type, *(line.format(length=len(body)) for line in headers)) + body
        yield End.CLOSE

    return misframed


HEADS: dict[str, Fault] = {
    "silent": silent,
    "slow-head": slow_head,
    "103": early_hints,
    "hostile-headers": hostile_headers,
    "huge-header": huge_header,
    "many-headers": many_headers,
    "bad-header": bad_header,
    "bad-reason": bad_reason,
    "garbage": garbage,
    "http-09": http_09,
    "two-lengths": _framed("Content-Length: {length}", "Content-Length: 5"),
    "length-and-chunked": _framed("Content-Length: {length}", CHUNKED),
    "negative-length": _framed("Content-Length: -5"),
    "odd-length": _framed("Content-Length: +{length}"),
}
