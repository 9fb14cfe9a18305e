"""A14: neither side's key is seen by the other, nor in a log or the process listing, whatever an upstream echoes."""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench import canaries
from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import UPSTREAM_KEY, RelayProcess
from tests.live.bench.scripts import CHUNKED, CLOSE, DONE, Script, answering, in_turn, json_answer, length, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import ASK, CHAT, ONE, STREAM, Owed, nothing_left, saying

NewCaller = Callable[[], RawCaller]
KEY = UPSTREAM_KEY.encode()
STARS = b"*" * len(KEY)
TOLD = {"error": {"message": f"Incorrect API key provided: {UPSTREAM_KEY}.", "code": "odd"}}


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


JSON_TYPE = "Content-Type: application/json"
EMPTY = "Content-Length: 2"
# What an upstream says of its key, each to a streamed and to a plain request.
ECHOES = {
    "a header that passes": head(JSON_TYPE, EMPTY, f"OpenAI-Processing-Ms: {UPSTREAM_KEY}") + b"{}",
    "its request id": head(JSON_TYPE, EMPTY, f"X-Request-Id: {UPSTREAM_KEY}", f"request-id: {UPSTREAM_KEY}") + b"{}",
    "its limits": head(JSON_TYPE, EMPTY, f"x-ratelimit-reset-tokens: {UPSTREAM_KEY}", status="429 Slow") + b"{}",
    "a header's name": head(JSON_TYPE, EMPTY, f"openai-version-{UPSTREAM_KEY}: 1") + b"{}",
    "its media type": head(f"Content-Type: application/json; key={UPSTREAM_KEY}", EMPTY) + b"{}",
    "its type alone": head(f"Content-Type: text/{UPSTREAM_KEY}", EMPTY) + b"{}",
    "a file name": head(JSON_TYPE, EMPTY, f"Content-Disposition: x; filename={UPSTREAM_KEY}") + b"{}",
    "its reason phrase": head(JSON_TYPE, EMPTY, status=f"200 {UPSTREAM_KEY}") + b"{}",
    "a redirect": head(f"Location: http://x/?key={UPSTREAM_KEY}", "Content-Length: 0", status="302 Found"),
    "a cookie": head(JSON_TYPE, EMPTY, f"Set-Cookie: key={UPSTREAM_KEY}") + b"{}",
    "a trailer": head(JSON_TYPE, CHUNKED) + chunk(b"{}") + f"0\r\nopenai-version: {UPSTREAM_KEY}\r\n\r\n".encode(),
    "a chunk extension": head(JSON_TYPE, CHUNKED) + b"2;" + KEY + b"\r\n{}\r\n" + LAST_CHUNK,
    "a JSON body": json_answer({"echo": UPSTREAM_KEY, "again": UPSTREAM_KEY}),
    "a JSON error": json_answer(TOLD, status="400 Bad Request"),
    "a refused key": json_answer(TOLD, status="401 Unauthorized"),
    "a forbidden key": json_answer(TOLD, status="403 Forbidden"),
    "a page": head("Content-Type: text/html", length(len(KEY) + 7), status="500 Oops") + b"<p>" + KEY + b"</p>",
    "a frame": sse_head(CHUNKED) + chunk(b"data: " + KEY + b"\n\n" + DONE) + LAST_CHUNK,
    "a comment": sse_head(CHUNKED) + chunk(b": " + KEY + b"\n\n" + DONE) + LAST_CHUNK,
    "an id and a type": sse_head(CHUNKED) + chunk(b"id: %b\n\nevent: %b\ndata: 1\n\n" % (KEY, KEY) + DONE) + LAST_CHUNK,
    "an error frame": sse_head(CHUNKED) + chunk(b"data: " + json.dumps(TOLD).encode() + b"\n\n") + LAST_CHUNK,
    "garbage": b"key=" + KEY + b"\r\n\r\n",
    "a broken header": head(JSON_TYPE, EMPTY, f"OpenAI-Version: {UPSTREAM_KEY}\x01\x7f") + b"{}",
    "an impossible length": head(JSON_TYPE, f"Content-Length: {UPSTREAM_KEY}") + b"{}",
    "an impossible chunk": head(JSON_TYPE, CHUNKED) + KEY + b"\r\n{}",
    "an encoding": head(JSON_TYPE, EMPTY, f"Content-Encoding: {UPSTREAM_KEY}") + b"{}",
}


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def test_an_echo_of_the_upstreams_key_does_not_reach_the_caller(
    upstream: ScriptedUpstream, relay: RelayProcess, new_caller: NewCaller, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = 2 * len(ECHOES)
    for (name, said), asked in itertools.product(ECHOES.items(), (STREAM, ASK)):
        upstream.answer(once(said))
        with subtests.test(name, stream=asked is STREAM), new_caller() as caller:
            caller.post(CHAT, asked)
            caller.read_head()
            caller.read_all()
            canaries.assert_absent({"the answer": bytes(caller.received)}, relay.secrets)
    assert KEY in upstream.received
    assert_nothing_said(relay)


def test_a_key_in_two_segments_of_json_is_starred_at_every_cut(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed
) -> None:
    body = b'{"k":"' + KEY + b'"}'
    cuts = range(4, len(body) - 1)
    owed.requests = len(cuts)
    for cut in cuts:
        upstream.answer(in_two(head(JSON_TYPE, length(len(body))), body[:cut], body[cut:]))
        caller.post(CHAT, ASK)
        assert caller.read_head()[0] == 200
        assert caller.read_all() == b'{"k":"' + STARS + b'"}', f"cut at {cut}"
        assert caller.ended_cleanly


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_key_in_two_segments_or_chunks_of_a_stream_is_starred_at_every_cut(
    upstream: ScriptedUpstream, new_caller: NewCaller, owed: Owed, framing: str
) -> None:
    frame = b"data: " + KEY + b"\n\n"
    cuts = range(5, len(frame))
    owed.requests = len(cuts)
    for cut in cuts:
        upstream.answer(saying([frame[:cut], frame[cut:], DONE], framing, 0.004))
        caller = new_caller()
        caller.post(CHAT, STREAM)
        assert caller.read_head()[0] == 200
        assert caller.read_all() == b"data: " + STARS + b"\n\n" + DONE, f"cut at {cut}"
        caller.close()


def test_a_key_in_chunks_of_one_byte_is_starred(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    chunks = b"".join(chunk(bytes([byte])) for byte in KEY + b"!" + KEY)
    upstream.answer(answering(head(JSON_TYPE, CHUNKED) + chunks + LAST_CHUNK))
    caller.post(CHAT, ASK)
    assert caller.read_head()[0] == 200
    assert caller.read_all() == STARS + b"!" + STARS


def test_what_only_begins_like_the_key_arrives_whole(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    body = KEY[:-1] + KEY[:5] + b"s" + KEY[:-1]
    upstream.answer(in_two(head(JSON_TYPE, length(len(body))), body[:7], body[7:]))
    caller.post(CHAT, ASK)
    assert caller.read_head()[0] == 200
    assert (caller.read_all(), caller.ended_cleanly) == (body, True)


def test_a_key_in_a_body_that_is_cut_does_not_reach_the_caller(
    upstream: ScriptedUpstream, relay: RelayProcess, new_caller: NewCaller, owed: Owed
) -> None:
    owed.requests = 2
    for said in (sse_head(CLOSE) + ONE + b"data: " + KEY, head(JSON_TYPE, "Content-Length: 999") + b'{"k":"' + KEY):
        upstream.answer(once(said))
        caller = new_caller()
        caller.post(CHAT, STREAM)
        caller.read_head()
        caller.read_all()
        canaries.assert_absent({"the answer": bytes(caller.received)}, relay.secrets)


def test_an_echo_in_a_stream_that_opened_early_does_not_reach_the_caller(
    upstream: ScriptedUpstream, owed: Owed, start_relay: Callable[..., RelayProcess], subtests: pytest.Subtests
) -> None:
    owed.requests = 0
    names = ["a JSON body", "a JSON error", "a refused key", "a redirect", "a frame", "garbage"]
    relay = start_relay(upstream.base_url, RELAY_STREAM__EARLY_OPEN_SECONDS="0.3", RELAY_HEALTH__PROBE_SECONDS="3600")
    key = relay.create_key("early", concurrent=10)
    upstream.answer(in_turn(*(once(ECHOES[name], 0.8) for name in names)))
    with contextlib.ExitStack() as open_callers:
        callers = [open_callers.enter_context(RawCaller(relay.port, key=key)) for _ in names]
        for caller in callers:
            caller.post(CHAT, STREAM)
        for caller in callers:
            with subtests.test():
                assert caller.read_head()[0] == 200
                caller.read_all()
                canaries.assert_absent({"the answer": bytes(caller.received)}, relay.secrets)
    assert_nothing_said(relay)


def test_the_callers_key_goes_to_no_upstream(
    upstream: ScriptedUpstream, relay: RelayProcess, caller: RawCaller, key: str
) -> None:
    everywhere = ["X-API-Key", "Cookie", "Proxy-Authorization", "Referer", "X-Forwarded-Authorization", "Api-Key"]
    caller.post(CHAT, STREAM, [(name, key) for name in everywhere])
    assert caller.read_head()[0] == 200
    caller.read_all()
    canaries.assert_absent({"what the upstream got": upstream.received}, {"the caller's key": key})
    assert upstream.requests[0].header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert_nothing_said(relay)


def test_a_key_in_a_head_that_gunicorn_refuses_is_not_logged(
    relay: RelayProcess, new_caller: NewCaller, key: str, owed: Owed
) -> None:
    owed.requests = 0
    for line in (f"Bad Header {key}", f"X-{key}\0: 1", f"{key}", f" {key}: folded", f"Content-Length: {key}"):
        caller = new_caller()
        caller.send(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{line}\r\n\r\n".encode())
        assert caller.read_head()[0] == 400
        caller.wait_closed(2)
    assert_nothing_said(relay)


def once(said: bytes, after_seconds: float = 0.0) -> Script:
    """Say this to the first request, after a while, and close."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.stall(after_seconds)
        conn.send(said)

    return script


def in_two(head_: bytes, first: bytes, second: bytes) -> Script:
    """The body in two segments, read apart by whoever reads as soon as it can."""

    def script(conn: Connection) -> None:
        for _ in itertools.count():
            conn.read_request()
            conn.send(head_ + first)
            conn.stall(0.004)
            conn.send(second)

    return script


def assert_nothing_said(relay: RelayProcess) -> None:
    places = {"standard output": relay.stdout(), "standard error": relay.stderr()}
    canaries.assert_absent({**places, "the process listing": canaries.process_listing()}, relay.secrets)
