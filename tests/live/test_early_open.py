"""OPEN_SILENT (DESIGN 3): the upstream is silent for so long that the response opens before its head is there."""

import gzip
import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.certificates import Certificates
from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import CLOSE, DONE, chat_completion, chat_frame, chat_stream, error_answer, sse_head
from tests.live.bench.wire import LAST_CHUNK, PING, Head, chunk
from tests.live.misbehaviour import BODY, Held, ok, stalling
from tests.live.name_server import NameServer
from tests.live.pairs import CHAT, LATE_SECONDS_MAX, Answer, Case, Pair, running_pair

pytest_plugins = ["tests.live.shared_pairs"]

HEAD_SECONDS = 2.0
EARLY = {
    "RELAY_STREAM__EARLY_OPEN_SECONDS": "0.2",
    "RELAY_STREAM__CONNECT_SECONDS_MAX": "1.5",
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": str(HEAD_SECONDS),
}
FRAMES = chat_stream("one", "two")
STREAM = sse_head() + b"".join(map(chunk, FRAMES)) + LAST_CHUNK


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> NameServer:
    return NameServer(tmp_path_factory.mktemp("names"))


@pytest.fixture(scope="module")
def plain_pair(names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    environ = {"PYTHONPATH": str(names.directory), **EARLY}
    with running_pair(tmp_path_factory.mktemp("relay"), host="localhost", **environ) as pair:
        yield pair


@pytest.fixture(scope="module")
def tls_pair(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("relay"), certificates, **EARLY) as pair:
        yield pair


def opened(caller: RawCaller) -> Head:
    """The head that the caller gets while the upstream has said nothing."""
    head = caller.read_answer_head(3.0)
    assert (head.status, head.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    return head


def told_late(case: Case, raw: bytes, path: str = CHAT, leave: Callable[[Connection], None] | None = None) -> Answer:
    """What comes when the upstream says this, and leaves, once the response is open."""
    case.upstream.answer(script := Held(raw, leave=leave))
    caller = case.ask(stream=True, path=path)
    head = opened(caller)
    script.now.set()
    return case.rest_of(caller, head)


def assert_told(answer: Answer, code: str, status: int) -> None:
    """In the stream, with the status that it would have had, and so that no client takes it for whole."""
    assert (answer.told["code"], answer.told["status"], len(answer.frames)) == (code, status, 1), answer.body
    assert answer.told["message"] and answer.told["type"]
    assert not answer.whole


def test_a_head_sent_early_is_a_streams(plain: Case) -> None:
    head = told_late(plain, STREAM).head
    wanted = {
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        "x-ratelimit-limit-requests": "1000000",
        "transfer-encoding": "chunked",
        "content-length": None,
    }
    assert {name: head.header(name) for name in wanted} == wanted
    assert head.header("x-request-id")


def test_a_late_stream_is_whole_and_both_connections_are_used_again(case: Case) -> None:
    case.upstream.answer(script := Held(STREAM))
    caller = case.ask(stream=True)
    for _ in range(2):
        head = opened(caller)
        script.now.set()
        answer = case.rest_of(caller, head)
        assert (answer.frames, answer.whole) == (FRAMES, True)
        script.now.clear()
        case.ask(stream=True, on=caller)
    script.now.set()
    assert case.answer_to(caller).frames == FRAMES
    assert case.upstream.accepted == 1
    case.assert_logged(end="done", status=200, upstream_status=200, frames_out=len(FRAMES))


def test_heartbeats_fill_the_silence(plain: Case) -> None:
    plain.upstream.answer(script := Held(STREAM))
    caller = plain.ask(stream=True)
    opened(caller)
    assert [caller.read_until(PING, 2.0) for _ in range(2)] == [PING] * 2
    script.now.set()
    assert caller.read_all().replace(PING, b"") == b"".join(FRAMES)


def test_a_json_answer_comes_as_one_frame(case: Case) -> None:
    pretty = json.dumps(chat_completion("Hello world"), indent=2).encode()
    answer = told_late(case, ok(body=pretty))
    first, last = answer.frames
    assert json.loads(first.removeprefix(b"data: ")) == chat_completion("Hello world")
    assert (first.count(b"\n"), last, answer.whole) == (2, DONE, True)
    case.assert_logged(end="done", status=200, usage={"input_tokens": 1, "output_tokens": 1})


@pytest.mark.parametrize(
    ("raw", "code", "status"),
    [
        (error_answer("429 Too Many Requests", "rate_limit_exceeded", "Retry-After: 7"), "rate_limit_exceeded", 429),
        (error_answer("400 Bad Request", "context_length_exceeded"), "context_length_exceeded", 400),
        (ok(status=b"HTTP/1.1 500 Oops", body=b"<h1>Oops</h1>"), "upstream_error", 500),
        (error_answer("401 Unauthorized", "invalid_api_key"), "upstream_auth_failed", 502),
        (error_answer("302 Found", "moved", "Location: /x"), "upstream_redirect", 502),
        (ok(b"Content-Encoding: gzip", body=gzip.compress(BODY)), "upstream_bad_response", 502),
        (b"<html>It works!</html>\r\n", "upstream_bad_response", 502),
    ],
    ids=["429", "400", "500 in HTML", "401", "302", "compressed", "garbage"],
)
def test_an_upstreams_refusal_is_told_with_its_status(plain: Case, raw: bytes, code: str, status: int) -> None:
    assert_told(told_late(plain, raw), code, status)
    assert len(plain.upstream.requests) == 1


@pytest.mark.parametrize(
    ("path", "begin"),
    [
        ("/v1/messages", b'event: error\ndata: {"type":"error","error":{'),
        ("/v1/responses", b'event: error\ndata: {"type":"error",'),
        ("/v1/completions", b'data: {"error":{'),
    ],
)
def test_a_refusal_is_told_in_the_routes_own_dialect(plain: Case, path: str, begin: bytes) -> None:
    answer = told_late(plain, error_answer("429 Too Many Requests", "rate_limit_exceeded"), path)
    assert answer.frames[-1].startswith(begin)
    assert_told(answer, "rate_limit_exceeded", 429)


@pytest.mark.parametrize("leave", [Connection.close, Connection.reset])
def test_an_upstream_that_leaves_in_the_silence_is_told(case: Case, leave: Callable[[Connection], None]) -> None:
    assert_told(told_late(case, b"", leave=leave), "upstream_bad_response", 502)
    case.assert_logged(error="upstream_bad_response")


def test_the_head_deadline_is_told(plain: Case) -> None:
    plain.upstream.answer(stalling())
    caller = plain.ask(stream=True)
    answer = plain.rest_of(caller, opened(caller))
    assert_told(answer, "upstream_timeout", 504)
    assert HEAD_SECONDS - 0.05 < answer.seconds < HEAD_SECONDS + LATE_SECONDS_MAX
    assert answer.pings >= 2
    plain.upstream.wait_for_peer_close(timeout_seconds=1)
    plain.assert_logged(error="upstream_timeout")


@pytest.mark.parametrize(
    ("seconds", "code", "status"), [(0.4, "upstream_unreachable", 502), (3, "upstream_connect_timeout", 504)]
)
def test_an_upstream_that_is_not_reached_is_told(
    plain: Case, names: NameServer, seconds: float, code: str, status: int
) -> None:
    names.fail(seconds)
    caller = plain.ask(stream=True)
    answer = plain.rest_of(caller, opened(caller))
    names.work()
    assert_told(answer, code, status)
    plain.assert_logged(error=code)


def test_a_late_stream_that_breaks_is_told_as_any_other(plain: Case) -> None:
    answer = told_late(plain, sse_head(CLOSE) + chat_frame("one"), leave=Connection.close)
    assert (answer.frames[0], answer.told["code"]) == (chat_frame("one"), "upstream_incomplete")
    assert "status" not in answer.told
    assert not answer.whole


@pytest.mark.parametrize("leave", [RawCaller.close, RawCaller.reset, RawCaller.half_close])
def test_a_caller_that_leaves_in_the_silence_ends_the_upstreams_work(
    case: Case, leave: Callable[[RawCaller], None]
) -> None:
    case.upstream.answer(stalling())
    caller = case.ask(stream=True)
    opened(caller)
    left_at = time.monotonic()
    leave(caller)
    assert case.upstream.wait_for_peer_close(timeout_seconds=3) - left_at < 1.0
    case.assert_logged(end="client_gone")


def test_a_request_for_no_stream_is_never_opened_early(plain: Case) -> None:
    plain.upstream.answer(script := Held(ok()))
    caller = plain.ask(stream=False)
    with pytest.raises(TimeoutError):
        caller.read_answer_head(1.0)
    assert not caller.received
    script.now.set()
    answer = plain.answer_to(caller)
    assert (answer.status, answer.body, answer.whole) == (200, BODY, True)
    assert answer.head.header("content-type") == "application/json"
