"""Mutated requests against the live port: no crash, no hang, no 5xx, and nothing left.

By hand: FUZZ_SEED=7 FUZZ_COUNT=100000 pytest tests/live/test_fuzz_requests.py
"""

import contextlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.live.bench import leaks
from tests.live.bench.attack import good_answer, post
from tests.live.bench.caller import RawCaller
from tests.live.bench.fuzzing import Plan, kept, mutated, plan
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import Owed, nothing_left
from tests.live.pairs import LIMITS

COUNTS = [500, pytest.param(100_000, marks=pytest.mark.soak)]
ANSWER_SECONDS_MAX = 0.1  # then the caller half-closes: what is unfinished is never answered otherwise
HANG_SECONDS_MAX = 10.0
PARALLEL = 4
SERVER_ERROR = re.compile(rb"HTTP/1\.[01] (5(?!01)\d\d|[06-9]\d\d) ")
STREAM = b'{"model":"gpt-test","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
PLAIN = b'{"model":"gpt-test","messages":[{"role":"user","content":"H\\u00e4llo"}],"temperature":0.5}'
PARTS = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n\x00\x01\x02\r\n--b--\r\n'
)
WORDS = [
    b"\0", b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\t", b":", b"Content-Length: 5",
    b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"Connection: close", b"Connection: authorization", b"Expect: 100-continue", b"Upgrade: h2c",
    b"Host: evil.example", b"Authorization: Bearer x", b"X-API-Key: x", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1",
    b"HTTP/1.0", b"HTTP/9.9", b"%00", b"%2e%2e/", b"?key=x", b"\xff\xfe", b"\xc0\xaf", b'"stream":1',
    b'"model":null', b"[" * 2_000, b'{"a":' * 500, b"\\ud800", b"1e999", b"NaN", b"-" * 9_000, b"Origin: null",
    b"Accept-Language: de;q=x", b"X-Request-Id: \xe9", b"Content-Type: multipart/form-data; boundary=",
    b"Range: bytes=0-", b"Cookie: a=b", b"X-Forwarded-For: x", b"Content-Encoding: gzip", b"Accept-Encoding: br",
    b"If-None-Match: *",
]  # fmt: skip


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """With room for many failing attempts from one address, and little patience."""
    patience = {"RELAY_SERVER__KEEPALIVE_SECONDS": "5", "RELAY_SERVER__BODY_SECONDS_MAX": "3"}
    environ = {**LIMITS, **patience, "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000"}
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        yield owed
        time.sleep(3 * leaks.LOG_LAG_SECONDS)  # nobody knows how many lines there will be: all must have been written


def corpus(key: str) -> list[bytes]:
    """Good requests of every kind."""
    said = f"Authorization: Bearer {key}\r\n".encode()
    paths = (b"/v1/models", b"/health", b"/health/live", b"/v1/usage", b"/metrics", b"/nowhere?a=b")
    chunked = post(key, "Transfer-Encoding: chunked", body=chunk(STREAM[:30]) + chunk(STREAM[30:]) + LAST_CHUNK)
    streamed = post(key, f"Content-Length: {len(STREAM)}", body=STREAM)
    plain = post(key, f"Content-Length: {len(PLAIN)}", "Accept: */*", "Accept-Language: de", body=PLAIN)
    parts = plain.partition(b"\r\n\r\n")[0].replace(b"application/json", b"multipart/form-data; boundary=b")
    parts = parts.replace(b"/v1/chat/completions", b"/v1/audio/transcriptions").replace(
        b"%d" % len(PLAIN), b"%d" % len(PARTS)
    )
    others = [
        streamed.replace(b"/v1/chat/completions", path)
        for path in (b"/api/chat/stream", b"/v1/messages", b"/v1/responses")
    ]
    options = b"OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost:8000\r\n"
    options += b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
    gets = [b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + said + b"\r\n" for path in paths]
    heads = [b"HEAD" + one[3:] for one in gets[:2]]
    with_key = streamed.replace(b"Authorization: Bearer", b"X-API-Key:").replace(b"HTTP/1.1", b"HTTP/1.0")
    return [
        streamed,
        plain,
        chunked,
        parts + b"\r\n\r\n" + PARTS,
        options,
        with_key,
        plain + streamed,
        *others,
        *gets,
        *heads,
    ]


def tried(relay: RelayProcess, requests: list[bytes], plan: Plan, number: int) -> tuple[int, bytes, str]:
    """Send one mutation. Return its number, its bytes, and what was wrong, if anything."""
    chance = plan.chance(number)
    raw = mutated(chance, chance.choice(requests), WORDS)
    with RawCaller(relay.port) as caller:
        with contextlib.suppress(OSError):
            caller.send(raw)
            caller.wait_closed(ANSWER_SECONDS_MAX)
            caller.half_close()
        if not caller.wait_closed(HANG_SECONDS_MAX):
            return number, raw, f"hangs after {bytes(caller.received[-200:])!r}"
        found = SERVER_ERROR.search(caller.received)
        return number, raw, f"answered {bytes(caller.received[found.start() :][:300])!r}" if found else ""


@pytest.mark.parametrize("count", COUNTS)
def test_no_mutated_request_makes_the_relay_fail(
    relay: RelayProcess, upstream: ScriptedUpstream, key: str, tmp_path: Path, count: int
) -> None:
    run, pids = plan(count), relay.worker_pids()
    with ThreadPoolExecutor(PARALLEL) as pool:
        results = pool.map(partial(tried, relay, corpus(key), run), run.numbers)
        wrong = [kept(tmp_path, run, number, raw, wrong) for number, raw, wrong in results if wrong]
    assert not wrong, f"{run}: {len(wrong)} of {run.count}\n" + "\n".join(wrong[:10])
    assert relay.worker_pids() == pids, f"{run}: a worker died"
    said = [line for line in relay.stdout().splitlines() if '"level":"error"' in line or "internal_error" in line]
    assert not said, f"{run}: {len(said)} failures, the first: {said[0]}"
    until(lambda: upstream.busy == 0, 5.0, "the end of what the upstream does")
    with RawCaller(relay.port, key=key) as caller:
        assert good_answer(caller, "Hello world") == ""


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(key: str) -> None:
    def made(run: Plan) -> list[bytes]:
        return [mutated(run.chance(number), chosen, WORDS) for number in run.numbers for chosen in corpus(key)]

    assert made(Plan(1, 0, 20)) == made(Plan(1, 0, 20)) != made(Plan(2, 0, 20))
    assert made(Plan(1, 7, 1)) == made(Plan(1, 0, 20))[7 * len(corpus(key)) :][: len(corpus(key))]
