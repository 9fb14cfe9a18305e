"""Mutated answers of an upstream through the relay: a good answer, a 502 or an honest cut, in time, and nothing left.

By hand: FUZZ_SEED=7 FUZZ_COUNT=100000 pytest tests/live/test_fuzz_answers.py
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.fuzzing import Plan, kept, mutated, plan
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import (
    CHUNKED,
    CLOSE,
    DONE,
    chat_completion,
    chat_frame,
    chat_stream,
    error_answer,
    json_answer,
    length,
    polite,
    sse_head,
    usage_frame,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, Head, chunk
from tests.live.cases import ASK, CHAT, STREAM, Owed, nothing_left, stream
from tests.live.pairs import LIMITS

COUNTS = [500, pytest.param(100_000, marks=pytest.mark.soak)]
PARALLEL = 6
ANSWER_SECONDS_MAX = 10.0
NAME = re.compile(r"fuzz-case-([0-9]+)\Z")
FRAMES = [chat_frame("one"), b": c\n\n", chat_frame("tw\u00f6"), chat_frame("", "stop"), usage_frame(3, 4), DONE]
WORDS = [
    b"\0", b"\r", b"\n", b"\n\n", b"\r\n\r\n", b"data: ", b"data: [DONE]\n\n", b"event: error\n", b"id: 1\n",
    b"retry: 1\n", b":", b"\xef\xbb\xbf", b"\xff", b"\xe2\x80\xa8", b"Content-Length: 3", b"Content-Length: -1",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Content-Encoding: gzip", b"Connection: close",
    b"Set-Cookie: a=b", b"Location: http://x/", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.0 ", b"HTTP/2 ", b"204", b"304", b"999", b"-5", b"0\r\n\r\n",
    b"ffffffff\r\n", b"1_0\r\n", b'{"error":{"message":"x"}}', b'"choices":null', b'"usage":[]', b"\\ud800",
    b"[" * 500, b'"finish_reason":"stop"', b"X-Accel-Redirect: /x", b"Content-Type: text/html",
    b"Content-Type: application/json", b"1e999", b"Access-Control-Allow-Origin: *", b"x" * 70_000,
]  # fmt: skip


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """With a short wait for what never comes."""
    environ = {**LIMITS, "RELAY_STREAM__IDLE_SECONDS_MAX": "1", "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "1"}
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def corpus() -> list[bytes]:
    """Good answers in every framing."""
    whole = b"".join(FRAMES)
    in_chunks = b"".join(map(chunk, FRAMES)) + LAST_CHUNK
    across = b"".join(chunk(whole[at : at + 37]) for at in range(0, len(whole), 37)) + LAST_CHUNK
    body = json.dumps(chat_completion("Hello world")).encode()
    plain = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    return [
        sse_head(CHUNKED) + in_chunks,
        sse_head(CHUNKED) + across,
        sse_head(CLOSE) + whole,
        sse_head(length(len(whole))) + whole,
        sse_head(CHUNKED) + chunk(whole.replace(b"\n", b"\r\n")) + LAST_CHUNK,
        json_answer(chat_completion("Hello world")),
        plain + b"Connection: close\r\n\r\n" + body,
        plain + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body[:40]) + chunk(body[40:]) + LAST_CHUNK,
        error_answer("429 Too Many Requests", "slow_down", "Retry-After: 3"),
        error_answer("500 Internal Server Error", "broken"),
    ]


def answer_of(run: Plan, number: int) -> bytes:
    chance = run.chance(number)
    return mutated(chance, chance.choice(corpus()), WORDS)


def saying_it(run: Plan) -> Callable[[Connection], None]:
    """Answer the request of that number with its mutation, in pieces or at once, and leave in one of three ways."""

    def script(conn: Connection) -> None:
        while True:
            request = conn.read_request()
            named = NAME.match(request.header("x-request-id") or "")
            number = int(named[1]) if named else 0
            chance, raw = run.chance(-1 - number), answer_of(run, number)
            step = chance.choice((1 + len(raw), 1 + len(raw), 1 + len(raw) // 3, 50))
            for at in range(0, min(len(raw), 50 * step), step):
                conn.send(raw[at : at + step])
            conn.send(raw[50 * step :])
            leave = chance.choice(("close", "close", "close", "close", "reset", "stay"))
            if leave == "close":
                return conn.close()
            if leave == "reset":
                return conn.reset()

    return script


def tried(relay: RelayProcess, key: str, number: int) -> tuple[int, str]:
    """Ask for one mutation. Return its number, and what was wrong, if anything."""
    with RawCaller(relay.port, key=key) as caller:
        caller.post(CHAT, STREAM if number % 4 else ASK, [("X-Request-Id", f"fuzz-case-{number}")])
        try:
            head = caller.read_answer_head(ANSWER_SECONDS_MAX)
            body = caller.read_all(ANSWER_SECONDS_MAX)
        except (TimeoutError, ValueError, ConnectionError) as error:
            return number, repr(error)[:300]
        return number, "; ".join(doubts(head, body, caller))


def doubts(head: Head, body: bytes, caller: RawCaller) -> Iterator[str]:
    """What about an answer is not as a caller may rely on."""
    of_relay = head.header("relay-error-source") == "relay"
    if b"internal_error" in caller.received:
        yield f"internal_error: {body[:200]!r}"
    if of_relay and head.status not in (502, 504):
        yield f"the relay's own {head.status}: {body[:200]!r}"
    if of_relay and not (caller.ended_cleanly and json.loads(body)["error"]["code"]):
        yield f"a refusal in pieces: {body[:200]!r}"
    if (
        head.header(
            "content-type",
        )
        == "text/event-stream; charset=utf-8"
    ):
        yield from _doubts_of_stream(body, caller.ended_cleanly)
    unwanted = {"set-cookie", "location", "x-accel-redirect", "access-control-allow-origin", "content-encoding"}
    if passed := unwanted & {name.lower() for name, _ in head.headers}:
        yield f"passed on: {passed}"


def _doubts_of_stream(body: bytes, whole: bool) -> Iterator[str]:
    frames = body.split(b"\n\n")
    if frames.pop():
        yield f"an unfinished frame: {body[-200:]!r}"
    last = next((frame for frame in reversed(frames) if frame != b": ping"), b"")
    ends = [line.removeprefix(b"data:").strip() for line in last.split(b"\n") if line.startswith(b"data:")]
    told = b'"error"' in last
    if whole and ends != [b"[DONE]"] and not told:
        yield f"taken for whole: {body[-200:]!r}"
    if not whole and not told:
        yield f"cut without a word: {body[-200:]!r}"


@pytest.mark.parametrize("count", COUNTS)
def test_no_mutated_answer_makes_the_relay_fail_or_lie(
    relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed, tmp_path: Path, count: int
) -> None:
    run, key = plan(count), relay.create_key(f"fuzz-{count}", rpm=1_000_000, concurrent=1_000)
    owed.requests = run.count + 1
    upstream.answer(saying_it(run))
    with ThreadPoolExecutor(PARALLEL) as pool:
        results = pool.map(partial(tried, relay, key), run.numbers)
        wrong = [kept(tmp_path, run, number, answer_of(run, number), wrong) for number, wrong in results if wrong]
    assert not wrong, f"{run}: {len(wrong)} of {run.count}\n" + "\n".join(wrong[:10])
    said = [line for line in relay.stdout().splitlines() if '"level":"error"' in line or "internal_error" in line]
    assert not said, f"{run}: {len(said)} failures, the first: {said[0]}"
    upstream.answer(polite)
    with contextlib.closing(RawCaller(relay.port, key=key)) as caller:
        assert stream(caller) == (b"".join(chat_stream("Hello", " world")), True)
