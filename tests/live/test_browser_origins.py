"""H1 to H6, H8, H11, H12 on the wire: only the listed origins are named in an answer, whatever the answer is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import answering, chat_stream, error_answer, json_answer, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, Head, chunk
from tests.live.cases import ASK, CHAT, STREAM, Owed, nothing_left
from tests.live.conftest import SHORT_LIMITS

LISTED = [
    "https://app.example",
    "http://app.example:8080",
    "http://127.0.0.1:3000",
    "http://[::1]:8000",
    "https://xn--mnchen-3ya.example",
]
HOSTILE = [
    # no origin at all
    "null", "NULL", "*", "https://*", "https://*.example", "undefined", "file://", "about:blank", "data:",
    "none.invalid",
    # around the listed name
    "https://evil.example", "https://evilapp.example", "https://evil-app.example", "https://sub.app.example",
    "https://app.example.evil.net", "https://app.example-evil.net", "https://app.exampleevil.net",
    "https://app.examples", "https://app.exampl", "https://pp.example", "https://.app.example", "https://app..example",
    "https://app.example.", "https://appxexample", "https://app-example", "https://example", "https://app_example",
    # the listed name elsewhere
    "https://evil.net/https://app.example", "https://evil.net?https://app.example", "https://evil.net#https://app.example",
    "https://app.example@evil.net", "https://evil.net@app.example", "https://user:pass@app.example",
    "https://app.example:pass@evil.net", "https://app.example%2eevil.net", "https://app.example%00.evil.net",
    "https://app.example\\.evil.net", "https://app.example`.evil.net", "https://app.example,https://evil.net",
    "https://app.example https://evil.net", "https://evil.net, https://app.example",
    # another case, scheme, port or spelling
    "https://APP.example", "HTTPS://app.example", "http://app.example", "wss://app.example", "//app.example",
    "app.example", "https:app.example", "https://app.example/", "https://app.example/path", "https://app.example:443",
    "https://app.example:8443", "https://app.example:", "http://app.example:80800", "http://app.example:808",
    "http://127.0.0.1", "http://127.0.0.1:30000", "http://127.1:3000", "http://2130706433:3000", "http://localhost:3000",
    "http://0.0.0.0:3000", "http://[::1]", "http://[0:0:0:0:0:0:0:1]:8000", "http://::1:8000", "http://1:8000",
    # letters that only look alike (UTF-8, as a header carries it)
    "https://\u0430pp.example", "https://xn--pp-6kc.example", "https://münchen.example",
    "https://xn--mnchen-3yb.example", "https://app\u3002example", "https://app.example\u200b",
]  # fmt: skip
HEADERS = ("authorization", "content-type", "x-stainless-os")
CORS_OF_AN_UPSTREAM = [
    "Access-Control-Allow-Origin: *",
    "Access-Control-Allow-Credentials: true",
    "Access-Control-Expose-Headers: *",
    "Set-Cookie: a=b; SameSite=None",
    "Content-Security-Policy: default-src *",
    "Location: https://evil.net/",
    "X-Accel-Redirect: /etc/passwd",
]
FAILING = "an upstream that fails"


@dataclass(frozen=True)
class Asked:
    """A request that a page can make; `key`: with the module's key, or without one."""

    status: int
    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    key: str | None = None


ASKED = {
    "a preflight": Asked(204, "OPTIONS", CHAT, key=""),
    "a preflight of what is no route": Asked(404, "OPTIONS", "/nowhere", key=""),
    "a read": Asked(200, "GET", "/v1/models"),
    "a look": Asked(200, "HEAD", "/v1/models"),
    "a read without a key": Asked(401, "GET", "/v1/models", key=""),
    "a read of what is no route": Asked(404, "GET", "/nowhere"),
    "a read that asks for no key": Asked(200, "GET", "/health/live", key=""),
    "another method": Asked(405, "DELETE", CHAT),
    "a stream": Asked(200, "POST", CHAT, json.dumps(STREAM).encode()),
    "a stream without a key": Asked(401, "POST", "/api/chat/stream", json.dumps(ASK).encode(), key=""),
    "no JSON": Asked(400, "POST", CHAT, b"{"),
    "a form's text": Asked(415, "POST", CHAT, json.dumps(ASK).encode(), "text/plain"),
    FAILING: Asked(502, "POST", CHAT, json.dumps(ASK).encode()),
}
each_asked = pytest.mark.parametrize("name", ASKED)


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    environ = {
        **SHORT_LIMITS,
        "RELAY_CORS__ORIGINS": json.dumps(LISTED),
        "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000",
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@each_asked
def test_no_answer_names_a_hostile_origin_and_every_one_varies(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, name: str
) -> None:
    owed.requests = len(set(HOSTILE))
    assert owed.requests >= 60
    heads = {origin: answered(caller, upstream, name, origin) for origin in HOSTILE}
    assert {origin: head.status for origin, head in heads.items() if head.status != ASKED[name].status} == {}
    assert [origin for origin, head in heads.items() if cors_headers(head)] == []
    assert [origin for origin, head in heads.items() if not varies(head)] == []


@each_asked
def test_every_answer_names_the_listed_origin_that_asked(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, name: str
) -> None:
    owed.requests = len(LISTED)
    for origin in LISTED:
        head = answered(caller, upstream, name, origin)
        assert head.status == ASKED[name].status
        assert head.all_of("access-control-allow-origin") == [origin]
        assert head.header("access-control-allow-credentials") is None
        assert varies(head)


def test_a_preflight_costs_no_key_and_no_upstream(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    head = answered(caller, upstream, "a preflight", LISTED[0])
    assert upstream.accepted == 0
    assert head.header("content-length") in (None, "0")
    assert head.header("access-control-max-age") == "86400"
    assert words(head, "access-control-allow-methods") == {"get", "post", "delete", "options"}
    assert words(head, "access-control-allow-headers") == set(HEADERS)
    assert head.header("x-ratelimit-limit-requests") is None


def test_a_page_is_never_let_into_a_private_network(caller: RawCaller, owed: Owed) -> None:
    owed.requests = 2
    for origin in (LISTED[0], "https://evil.example"):
        asked = [(f"Access-Control-Request-{kind}-Network", "true") for kind in ("Private", "Local")]
        caller.request("OPTIONS", CHAT, headers=[("Origin", origin), *preflight(), *asked], key="")
        head = caller.read_answer_head()
        assert [value for name, value in head.headers if name.lower().endswith("-network") and value != "false"] == []


@pytest.mark.parametrize("origin", [LISTED[0], "https://evil.net"])
@pytest.mark.parametrize("kind", ["json", "stream", "error"])
def test_what_an_upstream_says_to_browsers_does_not_reach_them(
    upstream: ScriptedUpstream, caller: RawCaller, kind: str, origin: str
) -> None:
    upstream.answer(answering(saying_to_browsers(kind)))
    caller.post(CHAT, STREAM if kind == "stream" else ASK, [("Origin", origin)])
    head = caller.read_answer_head()
    assert head.status == (418 if kind == "error" else 200)
    assert head.all_of("access-control-allow-origin") == [one for one in [origin] if one in LISTED]
    assert "*" not in words(head, "access-control-expose-headers")
    for line in CORS_OF_AN_UPSTREAM:
        name, _, value = line.partition(": ")
        assert value not in head.all_of(name)
    caller.read_all()


def test_no_answer_is_compressed(upstream: ScriptedUpstream, caller: RawCaller, owed: Owed) -> None:
    owed.requests = len(ASKED)
    for name in ASKED:
        head = answered(caller, upstream, name, LISTED[0], ("Accept-Encoding", "gzip, deflate, br, zstd"))
        assert head.header("content-encoding") is None, name
        assert not words(head, "transfer-encoding") - {"chunked"}, name


def test_what_a_form_can_send_never_reaches_the_upstream(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed
) -> None:
    kinds = ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    owed.requests = len(kinds)
    for kind in kinds:
        headers = [("Origin", "https://evil.net"), *([("Content-Type", kind)] if kind else [])]
        caller.request("POST", CHAT, json.dumps(STREAM).encode(), headers)
        assert caller.read_answer_head().status == 415, kind
        assert json.loads(caller.read_all())["error"]["code"] == "unsupported_media_type"
    assert upstream.received == b""


def answered(caller: RawCaller, upstream: ScriptedUpstream, name: str, origin: str, *more: tuple[str, str]) -> Head:
    """The head of the answer to a page of this origin."""
    asked = ASKED[name]
    if name == FAILING:
        upstream.answer(answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"))
    sent = [("Origin", origin.encode().decode("latin-1")), *more]
    sent += preflight() if asked.method == "OPTIONS" else [("Content-Type", asked.content_type)]
    caller.request(asked.method, asked.path, asked.body, sent, asked.key)
    head = caller.read_answer_head()
    caller.read_all()
    return head


def preflight() -> list[tuple[str, str]]:
    return [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", ",".join(HEADERS))]


def saying_to_browsers(kind: str) -> bytes:
    if kind == "stream":
        whole = b"".join(map(chunk, chat_stream("Hello"))) + LAST_CHUNK
        return sse_head("Transfer-Encoding: chunked", *CORS_OF_AN_UPSTREAM) + whole
    if kind == "error":
        return error_answer("418 Teapot", "x", *CORS_OF_AN_UPSTREAM)
    return json_answer({}, *CORS_OF_AN_UPSTREAM)


def cors_headers(head: Head) -> list[str]:
    return [name for name, _ in head.headers if name.lower().startswith("access-control-")]


def varies(head: Head) -> bool:
    return "origin" in words(head, "vary")


def words(head: Head, name: str) -> set[str]:
    return {word.strip().lower() for value in head.all_of(name) for word in value.split(",") if word.strip()}
