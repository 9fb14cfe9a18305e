"""B3, B9, B10, B12: request lines and headers that are not what they look like."""

import itertools
from collections.abc import Iterator

from tests.live.bench.attack import CHAT, LIVE, MODELS, ROUTED, SMUGGLED, Attack, chat_body, get, head, inner, post

CONTROLS = [bytes([number]) for number in (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)]
EIGHT_BIT = [bytes([number]) for number in (0x80, 0x85, 0x8D, 0xA0, 0xAD, 0xB2, 0xC0, 0xDF, 0xE9, 0xFE, 0xFF)]
NO_ROUTE = frozenset({400, 404})
REFUSED_METHOD = frozenset({400, 404, 405})
MISDIRECTED = frozenset({200, 400, 421})

# Ways to climb, to end, to split or to repeat a path; `{}` is where they stand in one.
DETOURS = [
    "..", "../..", "%2e%2e", "%2E%2E", ".%2e", "%2e.", "%252e%252e", "%c0%ae%c0%ae", "%e0%80%ae", "..;", "..%3b",
    "..%00", "..%2f", "..%5c", "..\\", "%5c..", "%5c", "\\", "%2f", "%252f", "%00", "%2500", "%0d%0a", "%0a", "%0d",
    "%23", "%3f", "%20", "%09", ";", ";x=1", "%3b", ".", "%2e", "*", "~", "%7e", "@evil.example", "%40evil.example",
    ":80", "%", "%zz", "%u002e", "[", "]", "{", "|", "^", "`", "'", '"', "<", ">", "%ff", "%c3%a9", "__", "http:",
    "http://evil.example",
]  # fmt: skip
PLACES = ["/{}/v1/models", "/v1/{}/models", "/v1/models/{}", "/v1/models{}", "/{}"]
AUTHORITIES = [
    "169.254.169.254", "169.254.169.254:80", "user:pass@evil.example", "[::1]:1", "127.0.0.1:1", "evil.example%00",
    "", "evil.example:99999", "evil.example:x", "[", "[::1", "127.0.0.1@evil.example", "evil.example\\@127.0.0.1",
    "0", "%",
]  # fmt: skip
SCHEMES = ["http", "https", "HTTP", "ftp", "file", "gopher", "javascript", "data", "x", "", "ht tp", "1", "http:http"]
HOSTS = [
    "evil.example", "evil.example:1", "user:pass@evil.example", "127.0.0.1:99999", "127.0.0.1:x", "127.0.0.1:",
    "127.0.0.1, evil.example", "127.0.0.1 evil.example", "h/#@x", "[::1]", "[::1", "]", "%00", "..", "/", "//", "@",
    "\\", "?x", "#x", "127.0.0.1/v1", "a" * 255, "a" * 5_000, "*", "_", "-", "{}", "<script>", "'", '"',
    "169.254.169.254", "localhost", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "http://evil.example", "a..b",
    ".a", "a.", "\t", " ",
]  # fmt: skip
METHODS = [
    "post", "Post", "get", "gET", "PRI", "TRACE", "TRACK", "CONNECT", "PUT", "PATCH", "DELETE", "PROPFIND",
    "M-SEARCH", "DEBUG", "LINK", "COPY", "BREW", "FOO", "X", "GET,POST", "GET:", "GET;", "GET/", "G@T", "GE T",
    "(GET)", '"GET"', "", "GET\x0b", "\x0bGET", "GET\x00", "\x00GET", "G\xc9T", "G\xdfT", "A" * 20, "A" * 21,
    "A" * 300, "A" * 9_000, "G.T", "%47ET", "#GET", "[GET]", "{GET}", "GET=", "GET\\", "<GET>", "0", "!", "-",
    "_GET",
]  # fmt: skip
VERSIONS = [
    "HTTP/0.9", "HTTP/2.0", "HTTP/2", "HTTP/3.0", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP/1.10",
    "HTTP/1.1x", "HTTP/x.1", "HTTP/1,1", "HTTP/-1.1", "HTTP/+1.1", "HTTP/01.1", "HTTP/1.01", "http/1.1", "Http/1.1",
    "HTTP 1.1", "HTTP\\1.1", "HTTP/1.1 x", "HTTPS/1.1", "HTP/1.1", "/1.1", "x", "", "HTTP/\xb9.1", "HTTP/1.\xb9",
    "HTTP/1.1\t", "HTTP/1.1\x0b", "HTTP/1.1\x00", "HTTP/9.9", "HTTP/999999.1", "ICY/1.1", "RTSP/1.0", "SIP/2.0",
]  # fmt: skip
FOLDS = [b"X: a\r\n b", b"X: a\r\n\tb", b"X:\r\n b", b"X: a\r\n b\r\n c", b" X: a", b"\tX: a", b"X: a\r\n \r\n b"]
NAMES = [
    b"",
    b" ",
    b"X ",
    b"X\t",
    b"X Y",
    b"(X)",
    b"X@",
    b"X[",
    b"X{",
    b"X/",
    b"X\\",
    b"X=",
    b'"X"',
    b"X,",
    b"X;",
    b"X?",
]
LINE_ENDS = [b"\n", b"\r", b"\n\r", b"\r\r\n", b"\x0b\n"]


def characters(key: str) -> Iterator[Attack]:
    """B3: bytes that stand where none of them may stand."""
    for byte in CONTROLS:
        yield Attack(f"{byte!r} in a value", get(key, b"X: a" + byte + b"b"))
        yield Attack(f"{byte!r} at a value's end", get(key, b"X: a" + byte))
    for byte in CONTROLS + EIGHT_BIT:
        yield Attack(f"{byte!r} in a name", get(key, b"X" + byte + b"Y: 1"))
        yield Attack(f"{byte!r} before a name", get(key, byte + b"X: 1"))
        yield Attack(f"{byte!r} in a path", get(key, path=b"/v1/mod" + byte + b"els"))
        yield Attack(f"{byte!r} in a query", get(key, path=b"/v1/models?a" + byte + b"b"))
        yield Attack(f"{byte!r} in a method", get(key, method=b"GE" + byte + b"T"))
    for fold in FOLDS:
        yield Attack(f"fold {fold!r}", get(key, fold))
    for name in NAMES:
        yield Attack(f"name {name!r}", get(key, name + b": 1"))
    yield Attack("no colon", get(key, b"X"))
    yield from _line_ends(key)


def paths(key: str) -> Iterator[Attack]:
    """B9: a path is one of the table or none, and no part of it reaches the upstream."""
    for detour, place in itertools.product(DETOURS, PLACES):
        path = place.format(detour) + "?" + SMUGGLED.decode()
        allowed = ROUTED if path.startswith("/%2f/v1/") else NO_ROUTE  # leading slashes count as one
        yield Attack(f"path {path}", get(key, path=path), allowed, closes=False)
    for scheme, authority in itertools.product(SCHEMES, AUTHORITIES):
        target = f"{scheme}://{authority}/v1/models"
        yield Attack(f"target {target}", get(key, path=target), ROUTED, closes=False)
    for target in (
        "*",
        "v1/models",
        "evil.example:443",
        "?x",
        "#x",
        "//evil.example/v1/models",
        "///v1/models",
        "http:/v1",
    ):
        yield Attack(f"target {target}", get(key, path=target), ROUTED, closes=False)


def hosts(key: str) -> Iterator[Attack]:
    """B10: the Host header chooses nothing; one that is none, or two, is refused."""
    for host in HOSTS:
        raw = head(key, f"GET {MODELS} HTTP/1.1", host=f"Host: {host}")
        yield Attack(f"Host {host[:30]!r} of {len(host)}", raw, MISDIRECTED, closes=False)
    for first, second in itertools.permutations(("127.0.0.1", "evil.example", ""), 2):
        yield Attack(
            f"Host {first!r} then {second!r}",
            head(key, f"GET {MODELS} HTTP/1.1", f"Host: {second}", host=f"Host: {first}"),
        )
    for line in ("host: 127.0.0.1", "HOST: evil.example"):
        yield Attack(f"Host then {line}", get(key, line))
    for line in ("Host : x", "Host\t: x", " Host: x", "Host", "Host\x00: x", "Ho st: x", "Host:x\nHost: y"):
        yield Attack(f"{line!r} for Host", head(key, f"GET {MODELS} HTTP/1.1", host=line))


def methods(key: str) -> Iterator[Attack]:
    """B12: a method is the route's or refused; what stands behind a refused one is never tunnelled."""
    for method, path in itertools.product(METHODS, (MODELS, CHAT, LIVE)):
        raw = get(key, "Content-Length: 0", method=method, path=path)
        yield Attack(f"method {method[:30]!r} of {len(method)}, {path}", raw, REFUSED_METHOD | {414, 431}, closes=False)
    for target in ("127.0.0.1:80", "evil.example:443", "/v1/models", "*", "http://evil.example/"):
        raw = get(key, method="CONNECT", path=target) + b"\x16\x03\x01" + SMUGGLED + inner(key)
        yield Attack(f"CONNECT {target}", raw, REFUSED_METHOD)
    for version in VERSIONS:
        raw = head(key, f"GET {MODELS} {version}", "Content-Length: 0")
        yield Attack(f"version {version!r}", raw, frozenset({400}))
    for first in (
        "GET",
        "GET ",
        f"GET  {MODELS} HTTP/1.1",
        f"GET\t{MODELS}\tHTTP/1.1",
        f" GET {MODELS} HTTP/1.1",
        "GET HTTP/1.1",
    ):
        yield Attack(f"first line {first!r}", head(key, first))
    yield Attack("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) + inner(key))
    yield Attack("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", frozenset())
    yield Attack("PROXY protocol", b"PROXY TCP4 10.0.0.1 127.0.0.1 1 2\r\n" + inner(key))


def _line_ends(key: str) -> Iterator[Attack]:
    """What only a lax reader takes for the end of a line hides a header, or a whole request, from a strict one."""
    hidden, body = inner(key), chat_body(b"outer")
    length = b"Content-Length: %d" % len(body + hidden)
    for end in LINE_ENDS:
        yield Attack(f"{end!r} in a head", post(key, b"X: a" + end + b"Content-Length: 0", length, body=body + hidden))
        yield Attack(f"{end!r} for CRLF", get(key).replace(b"\r\n", end) + b"\r\n\r\n" + hidden)
        yield Attack(f"{end!r} behind the first line", get(key).replace(b"\r\n", end, 1))
    for start in (b"\0", b"\n", b"\r", b" ", b"\r\n ", b"\x0b", b"\xef\xbb\xbf"):
        yield Attack(f"{start!r} before the first line", start + get(key, b"X-Y: 1"))
