"""A6, A7, A8, A10, A16, B13, B18: strange credentials, expectations, upgrades and headers that claim to be others."""

import itertools
from collections.abc import Iterator

from tests.live.bench.attack import CHAT, LIVE, MODELS, SMUGGLED, Attack, chat_body, get, inner, post

REFUSED_KEY = frozenset({400, 401})
TOO_LONG = frozenset({401, 431})
UNHEARD = frozenset({200, 400, 404})
EXPECTATIONS = [
    "100", "100-Continue, x", "continue", "200-ok", "x", "", "100-continue;q=1", "100 continue",
    "100-continue, 100-continue", "101-continue", "100-continue\x0b", "'100-continue'", "100_continue",
    "switch-protocols", "\x00", "*", "100-continue ,",
]  # fmt: skip
UPGRADES = ["h2c", "websocket", "WebSocket", "TLS/1.0", "HTTP/2.0", "h2", "SPDY/3", "x", "h2c, websocket", ""]
NOMINATIONS = ["Upgrade", "upgrade", "Upgrade, HTTP2-Settings", "keep-alive, Upgrade", "close, Upgrade", ""]
TAILS = {
    "frames of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) + SMUGGLED,
    "a WebSocket frame": b"\x81\x8f\x00\x00\x00\x00" + SMUGGLED + b"\r\n\r\n",
}
INJECTIONS = [
    "' OR '1'='1", "' OR 1=1 --", "'; DROP TABLE keys; --", '" OR ""="', "1; SELECT pg_sleep(5)", "*", "%", "_",
    "{}", "[]", "null", "None", "true", "0", "-1", "../", "../../etc/passwd", "..\\", "a/b", "key/a/b", "FLUSHALL",
    "EVAL return 1 0", "$(id)", "`id`", "|id", "&&id", ";id", "${jndi:ldap://x}", "{{7*7}}", "%s%s%n", "%00",
    "%0d%0aX: 1", "\\r\\n", "<xml/>", "<script>", "*)(uid=*", "{\"$gt\":\"\"}", "rk_*", "rk_%", "rk_" + "0" * 38,
    "ek_eyJhbGciOiJub25lIn0.e30.", "admin", "root", "undefined", "NaN", "()", "#", "--", "/*", "*/", "\\", "\\0",
    "'", '"', "''", "=", "==", "?", "!", "@", "~", "|", "^",
]  # fmt: skip
NOT_ASCII = [
    b"\xe9", b"\xff", b"\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa9", b"\xc3\xa9",
    b"\xc2\xa0", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xfe\xff", b"\xb2", b"\xdf",
]  # fmt: skip
TWINS = [
    "X_API_KEY", "x_api_key", "X-API_KEY", "AUTHORIZATION_", "X_FORWARDED_FOR", "X_FORWARDED_PROTO", "SCRIPT_NAME",
    "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "REMOTE_ADDR", "REMOTE_USER", "SERVER_NAME", "CONTENT_LENGTH",
    "Content_Length", "TRANSFER_ENCODING", "Transfer_Encoding", "CONTENT_TYPE", "HTTP_HOST", "WSGI_URL_SCHEME",
    "wsgi.input_terminated", "_", "__", "HTTP_AUTHORIZATION", "HTTP_PROXY",
]  # fmt: skip


def credentials(key: str) -> Iterator[Attack]:
    """A6, A7, A8, A10: whatever is sent as a key, it is a refusal and no failure."""
    half, rest = key[:20].encode(), key[20:].encode()
    odd = [text.encode("latin-1") for text in INJECTIONS] + [half + piece + rest for piece in NOT_ASCII]
    odd += [half + b" " + rest, half + b"\t" + rest, half + b"," + rest, half + b";" + rest]
    for text, line in itertools.product(odd, (b"Authorization: Bearer ", b"X-API-Key: ")):
        yield Attack(f"{line!r}{text!r}", get("", line + text), frozenset({401}), closes=False)
    for byte in (b"\0", b"\x01", b"\x0b", b"\x0c", b"\x1f", b"\x7f", b"\r", b"\n", b"\r\n ", b"\r\n\t"):
        for line in (b"Authorization: Bearer ", b"X-API-Key: "):
            yield Attack(f"{line!r} with {byte!r}", get("", line + half + byte + rest))
    for length in (513, 1_000, 8_000, 8_190, 8_191, 8_300, 20_000, 60_000):
        for line in (b"Authorization: Bearer ", b"X-API-Key: "):
            raw = get("", line + b"k" * length)
            yield Attack(f"{line!r} and {length} bytes", raw, TOO_LONG, closes=length >= 8_191)
    for count in (101, 200, 1_000):
        raw = get(key, *(f"X-{number}: 1" for number in range(count)))
        yield Attack(f"{count} headers", raw, frozenset({431}))


def twins(key: str) -> Iterator[Attack]:
    """A16: a name with an underscore is nobody's header, and with a canary as its value nobody passes it on."""
    hidden, body = inner(key), chat_body(b"outer")
    length = f"Content-Length: {len(body)}"
    for name in TWINS:
        canary = f"{name}: {SMUGGLED.decode()}"
        yield Attack(f"{name} with a key", post(key, canary, length, body=body), frozenset({200}), closes=False)
        yield Attack(f"{name} for a key", get("", f"{name}: {key}"), frozenset({401}), closes=False)
        yield Attack(f"{name} of another path", get(key, f"{name}: {LIVE}", path="/x"), frozenset({404}), closes=False)
    for name in ("Content_Length", "CONTENT_LENGTH", "Transfer_Encoding", "TRANSFER_ENCODING"):
        value = "chunked" if "T" in name[:1] else "0"
        whole = f"Content-Length: {len(hidden)}"
        raw = get(key, f"{name}: {value}", whole, path="/v1/nowhere", method="POST") + hidden
        yield Attack(f"{name}: {value} over a hidden request", raw, frozenset({404}), closes=False)


def expectations(key: str) -> Iterator[Attack]:
    """B13: only 100-continue is understood, and it starts nothing that would not have been started anyway."""
    body = chat_body(SMUGGLED)
    length = f"Content-Length: {len(body)}"
    for expectation, path in itertools.product(EXPECTATIONS, (MODELS, CHAT)):
        refused = frozenset({400, 417})
        method, lines = ("GET", ()) if path is MODELS else ("POST", (length,))
        raw = get(key, f"Expect: {expectation}", *lines, path=path, method=method) + (body if lines else b"")
        yield Attack(f"Expect {expectation!r} {path}", raw, refused)
    for expectation in ("100-continue", "100-Continue", "100-CONTINUE"):
        raw = get("", f"Expect: {expectation}", length, path=CHAT, method="POST") + body
        yield Attack(f"Expect {expectation} without a key", raw, frozenset({401}), closes=False)


def upgrades(key: str) -> Iterator[Attack]:
    """B18: no upgrade is ever made, so what follows is no request, and refused as one."""
    for upgrade, nominated, tail in itertools.product(UPGRADES, NOMINATIONS, TAILS):
        lines = [f"Upgrade: {upgrade}", f"Connection: {nominated}", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]
        raw = get(key, *lines, path=LIVE) + TAILS[tail]
        yield Attack(f"Upgrade {upgrade!r}, Connection {nominated!r}, {tail}", raw, UNHEARD)
