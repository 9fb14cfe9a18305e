"""B1, B2, B14: requests about whose length two readers could disagree, each with another one hidden in the doubt."""

import itertools
from collections.abc import Iterator

from tests.live.bench.attack import CHAT, SMUGGLED, UNKNOWN_CODING, UPLOAD, Attack, Line, chat_body, inner, post
from tests.live.bench.wire import LAST_CHUNK, chunk

GOOD = chat_body(b"outer")
PARTS = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
CHUNKED = "Transfer-Encoding: chunked"
ANY_4XX = frozenset({400, 401, 408, 413})

LENGTHS = [
    b"+5", b"-5", b"-0", b"0x5", b"0X5", b"1_0", b"", b" ", b"5,5", b"5, 5", b"5,6", b"5;", b"5 5", b"5\t5", b"1e1",
    b"5.0", b"5.", b".5", b"5x", b"x5", b"x", b"five", b'"5"', b"'5'", b"(5)", b"5\x0b", b"\x0b5", b"5\x0c",
    b"\x005", b"5\x00", b"\xb2", b"\xbd", b"5\xa0", b"\xa05", b"\xef\xbc\x95", b"\xd9\xa5", b"0b1", b"0o7", b"5h",
    b"5L", b"NaN", b"inf", b"null", b"true", b"%35", b"5#", b"5?", b"5/1", b"5-", b"5+", b"~5", b"9" * 5_000,
]  # fmt: skip
PAIRS = [(b"0", b"5"), (b"5", b"0"), (b"5", b"5"), (b"5", b"6"), (b"0", b"0"), (b"5", b"x"), (b"", b"5"), (b"5", b"")]
SECOND_NAMES = [b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"cOnTeNt-LeNgTh"]
# No coding but chunked, and that once and last, says where a request ends (RFC 9112 6.1, 6.3).
CODINGS = [
    b"xchunked", b"chunkedx", b"chunk", b"chunked, chunked", b"chunked,chunked", b"chunked, identity",
    b"chunked;q=1", b"chunked; q=1", b"chunked ;", b",chunked", b"chunked,", b"chunked, ,chunked", b"identity",
    b"gzip", b"deflate", b"compress", b"br", b"zstd", b"x-gzip", b"trailers", b"cow", b"'chunked'", b'"chunked"',
    b"c hunked", b"chun\tked", b"chunked\x0b", b"\x0bchunked", b"chunked\x00", b"\x00chunked", b"chunked\x0c",
    b"\x0cchunked", b"chunked\xa0", b"\xa0chunked", b"\x85chunked", b"chunked\x7f", b"chunke\xc4\x91", b"",
    b"chunked, gzip", b"chunked, cow", b"null", b"chunked chunked", b"chunked/1.0", b"chunked:", b": chunked",
    b"chunked=1", b"(chunked)", b"chunked(x)", b"*", b"chunked\\", b"%63hunked", b"identity, identity",
    b"cow, chunked",
]  # fmt: skip
# Lines that one reader takes for `Transfer-Encoding: chunked` and another does not.
DISGUISED = [
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked", b"Transfer-Encoding\x0b: chunked", b"Transfer-Encoding\x00: chunked",
    b"Transfer\x00-Encoding: chunked", b"Transfer-Encoding\xa0: chunked", b"Transfer Encoding: chunked",
    b"X: x\nTransfer-Encoding: chunked", b"X: x\rTransfer-Encoding: chunked", b"X: x\n\rTransfer-Encoding: chunked",
    b"X: x\r\n\tTransfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding: \r\n\tchunked", b"\x00Transfer-Encoding: chunked", b"\xffTransfer-Encoding: chunked",
    b"\"Transfer-Encoding\": chunked", b"(Transfer-Encoding): chunked", b"Transfer-Encoding", b": chunked",
    b"Transfer-Encoding=chunked", b"Transfer-Encoding;: chunked", b"Transfer-Encoding,: chunked",
    b"X: x\r\r\nTransfer-Encoding: chunked", b"Transfer-Encoding@: chunked", b"Transfer-Encoding/: chunked",
]  # fmt: skip
SIZES = [
    b"+5", b"-5", b"5_0", b"0x5", b"0X5", b"5h", b"g", b"x", b"", b" ", b" 5", b"\t5", b"5 5", b"5.", b"5.0", b"5,5",
    b"\xb5", b"\xb2", b"\x005", b"5\x00", b"5\x0b", b"5\x0c", b"\x0b5", b"\xef\xbc\x95", b"0o5", b"0b1", b"five",
    b'"5"', b"~5", b"5-", b"5+", b"5#", b"%35", b"-0", b"+0", b"0_0", b"0x0", b"5\r", b"\r5", b"5\n", b"\n5",
    b"5\r5", b"5;\n", b"5;a\nb", b"5;a\rb", b"5;\x00", b"5;a=\x01", b'5;a="', b"5;" + b"x" * 65_536,
    b"0" * 65_536 + b"5", b"5;=", b"5;a b", b"5;;", b"5=a", b"5:a", b"5 a",
]  # fmt: skip
HUGE = [b"f" * digits for digits in (6, 8, 15, 16, 17, 32, 64, 1_000)]
FORBIDDEN = [
    "Host: evil.example", "Content-Length: 5", "Transfer-Encoding: chunked", "Authorization: Bearer x",
    "TE: trailers", "Trailer: Host", "content-length: 0", "hOsT: evil.example", "transfer-encoding: gzip",
    "authorization: Basic eDp4",
]  # fmt: skip
BROKEN_TRAILERS = [
    b"X : 1", b" X: 1", b"X", b": 1", b"X\x00: 1", b"X: \x00", b"X: 1\x07", b"X: 1\r\n 2", b"X: 1\r\n\t2", b"X: 1\n",
    b"X: 1\rY: 2", b"\x7f: 1", b"X\xff: 1", b"X Y: 1", b"(X): 1", b"X: \x7f", b"X: \x0b", b"\r", b"\x00",
    b"X: 1\nY: 2",
]  # fmt: skip


def framing(key: str) -> Iterator[Attack]:
    """B1: lengths and transfer codings."""
    hidden = inner(key)
    for length, version in itertools.product(LENGTHS, ("1.1", "1.0")):
        raw = post(key, b"Content-Length: " + length, body=hidden, version=version)
        yield Attack(f"Content-Length {length[:20]!r} HTTP/{version}", raw)
    for (one, other), name in itertools.product(PAIRS, SECOND_NAMES):
        lines = (b"Content-Length: " + one, name + b": " + other)
        yield Attack(f"{name!r} {one!r} then {other!r}", post(key, *lines, body=hidden))
    yield from _codings(key, hidden)
    yield from _both(key, hidden)
    for line, length in itertools.product(DISGUISED, (True, False)):
        yield Attack(f"{line!r}, length: {length}", post(key, *_with(length, line, hidden), body=LAST_CHUNK + hidden))


def chunking(key: str) -> Iterator[Attack]:
    """B2: chunks that are none. What follows the doubtful place would be a request to a laxer reader."""
    hidden = inner(key)
    for size in SIZES:
        yield Attack(f"size {size[:20]!r} first", _chunked(key, size + b"\r\nhello\r\n" + LAST_CHUNK + hidden))
        yield Attack(f"size {size[:20]!r} later", _chunked(key, chunk(GOOD) + size + b"\r\nhello\r\n" + hidden))
        yield Attack(f"size {size[:20]!r} among parts", _in_parts(key, chunk(PARTS) + size + b"\r\nhello\r\n" + hidden))
        yield Attack(f"size {size[:20]!r} without a key", _chunked("", size + b"\r\nhello\r\n" + hidden), ANY_4XX)
    for size in HUGE:
        yield Attack(f"size of {len(size)} digits", _chunked(key, size + b"\r\n" + hidden), frozenset(), leaves=True)
    for name, body in _cuts(hidden).items():
        yield Attack(name, _chunked(key, body))
    for at in range(1, len(chunk(GOOD) + LAST_CHUNK)):
        whole = chunk(GOOD) + LAST_CHUNK
        yield Attack(f"cut off after {at}", _chunked(key, whole[:at]), frozenset(), leaves=True)


def trailers(key: str) -> Iterator[Attack]:
    """B14: what a trailer may not say, and what is none."""
    hidden = inner(key)
    body = chunk(GOOD) + b"0\r\n"
    for line in FORBIDDEN:
        yield Attack(f"trailer {line}", _chunked(key, body + line.encode() + b"\r\n\r\n" + hidden))
    for broken in BROKEN_TRAILERS:
        yield Attack(f"trailer {broken!r}", _chunked(key, body + broken + b"\r\n\r\n" + hidden))
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(101))
    yield Attack("101 trailers", _chunked(key, body + many + b"\r\n" + hidden), frozenset({400, 431}))
    long = b"X: " + b"x" * 10_000 + b"\r\n"
    yield Attack("a long trailer", _chunked(key, body + long + b"\r\n" + hidden), frozenset({400, 431}))
    for line in (b"X-API-Key: " + SMUGGLED, b"Cookie: " + SMUGGLED, b"traceparent: " + SMUGGLED):
        fine = _chunked(key, body + line + b"\r\n\r\n")
        yield Attack(f"trailer {line!r}", fine, frozenset({200, 400}), closes=False)


def _codings(key: str, hidden: bytes) -> Iterator[Attack]:
    for coding in CODINGS:
        line, body = b"Transfer-Encoding: " + coding, chunk(GOOD) + LAST_CHUNK + hidden
        for length in (True, False):
            raw = post(key, *_with(length, line, body), body=body)
            yield Attack(f"coding {coding!r}, length: {length}", raw, UNKNOWN_CODING)
        raw = post(key, CHUNKED, line, body=body)
        yield Attack(f"chunked and then {coding!r}", raw, UNKNOWN_CODING)
    for coding in (b"chunked", b"Chunked", b"gzip, chunked"):
        raw = post(key, b"Transfer-Encoding: " + coding, body=LAST_CHUNK + hidden, version="1.0")
        yield Attack(f"{coding!r} in HTTP/1.0", raw)


def _both(key: str, hidden: bytes) -> Iterator[Attack]:
    """CL.TE and TE.CL: each length that makes one of them hide what the other takes for a request."""
    body = LAST_CHUNK + hidden
    for length, coding in itertools.product((0, 4, 5, 6, len(body), 10**6), (b"chunked", b"CHUNKED", b"\tchunked\t")):
        lines: list[Line] = [f"Content-Length: {length}", b"Transfer-Encoding:" + coding]
        for order, pair in (("CL, TE", lines), ("TE, CL", lines[::-1])):
            yield Attack(f"{order} {length} {coding!r}", post(key, *pair, body=body))


def _with(length: bool, line: bytes, body: bytes) -> list[Line]:
    return [f"Content-Length: {len(body)}", line] if length else [line]


def _chunked(key: str, body: bytes) -> bytes:
    return post(key, CHUNKED, body=body)


def _in_parts(key: str, body: bytes) -> bytes:
    """A multipart upload, which is passed on while it comes."""
    kinds = b"application/json", b"multipart/form-data; boundary=b"
    return _chunked(key, body).replace(CHAT.encode(), UPLOAD.encode(), 1).replace(*kinds, 1)


def _cuts(hidden: bytes) -> dict[str, bytes]:
    return {
        "bare LF behind the size": b"5\nhello\r\n" + LAST_CHUNK + hidden,
        "bare CR behind the size": b"5\rhello\r\n" + LAST_CHUNK + hidden,
        "bare LF behind the data": b"5\r\nhello\n" + LAST_CHUNK + hidden,
        "nothing behind the data": b"5\r\nhello" + LAST_CHUNK + hidden,
        "more data than said": b"5\r\nhello!\r\n" + LAST_CHUNK + hidden,
        "less data than said": b"5\r\nhell\r\n" + LAST_CHUNK + hidden,
        "two line ends behind the data": b"5\r\nhello\r\n\r\n" + LAST_CHUNK + hidden,
        "bare LF behind the last chunk": b"0\n\n" + hidden,
        "LF, CRLF behind the last chunk": b"0\n\r\n" + hidden,
        "CRLF, LF behind the last chunk": b"0\r\n\n" + hidden,
        "CR, CR behind the last chunk": b"0\r\r" + hidden,
        "no line end behind the last chunk": b"0" + hidden,
        "one line end behind the last chunk": b"0\r\n" + hidden,
    }
