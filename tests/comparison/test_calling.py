"""One call, timed: first text, last text, usage, and each way in which it may fail."""

import ssl
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from relay.comparison.calling import Caller, Way
from relay.core.usage import Usage
from tests.live.bench.conversation import Connection
from tests.live.bench.ports import free_port
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
ONE = b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n'
THINKING = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"x","code":"upstream_incomplete"}}\n\n'
BODY = {"model": "m", "stream": True}


@pytest.fixture
def server() -> Iterator[ScriptedUpstream]:
    scripted = ScriptedUpstream().start()
    yield scripted
    scripted.stop()


def way(port: int) -> Way:
    base = urlsplit(f"http://127.0.0.1:{port}/v1")
    return Way("relay", base, {"Authorization": "Bearer rk_x"}, ssl.create_default_context())


def each(*pieces: bytes | float) -> Callable[[Connection], None]:
    """To each request these bytes, and these pauses in seconds between them."""

    def answer(conn: Connection) -> None:
        while True:
            conn.read_request()
            for piece in pieces:
                conn.stall(piece) if isinstance(piece, float) else conn.send(piece)

    return answer


def then_closing(*pieces: bytes | float) -> Callable[[Connection], None]:
    def answer(conn: Connection) -> None:
        conn.read_request()
        for piece in pieces:
            conn.stall(piece) if isinstance(piece, float) else conn.send(piece)
        conn.close()

    return answer


def test_times_are_from_sending_to_the_first_text_and_from_there_to_the_last(server: ScriptedUpstream) -> None:
    server.answer(each(SSE, chunk(ROLE), 0.6, chunk(ONE), 0.4, chunk(ONE), 0.8, chunk(USAGE + DONE) + LAST_CHUNK))
    with Caller(way(server.port)) as caller:
        call = caller.call(BODY, 10)
    assert (call.failure, call.usage) == ("", Usage(7, 3))
    assert call.ttft_seconds == pytest.approx(0.6, abs=0.35)
    assert call.text_seconds == pytest.approx(0.4, abs=0.35)


def test_calls_share_a_connection_and_send_what_they_should(server: ScriptedUpstream) -> None:
    server.answer(each(SSE, chunk(ONE + DONE) + LAST_CHUNK))
    with Caller(way(server.port)) as caller:
        assert [caller.call(BODY, 10).failure for _ in range(3)] == ["", "", ""]
    assert server.accepted == 1
    sent = server.requests[0]
    assert (sent.method, sent.path, sent.json()) == ("POST", "/v1/chat/completions", BODY)
    assert sent.header("authorization") == "Bearer rk_x"


def test_thinking_is_text_too(server: ScriptedUpstream) -> None:
    server.answer(each(SSE, chunk(THINKING), 0.4, chunk(ONE + DONE) + LAST_CHUNK))
    with Caller(way(server.port)) as caller:
        assert caller.call(BODY, 10).text_seconds == pytest.approx(0.4, abs=0.35)


@pytest.mark.parametrize(
    ("pieces", "failure"),
    [
        (
            (b"HTTP/1.1 429 X\r\nContent-Length: 32\r\n\r\n" + b'{"error":{"code":"too_fast"}}   ',),
            "status 429 too_fast",
        ),
        ((b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",), "status 500"),
        ((SSE, chunk(ONE + ERROR)), "upstream_incomplete"),
        ((SSE, chunk(ONE + ERROR + DONE) + LAST_CHUNK), "upstream_incomplete"),
        ((SSE, chunk(ONE)), "connection broke off"),
        ((SSE, chunk(ONE) + LAST_CHUNK), "no end ([DONE])"),
        ((SSE, chunk(ROLE + DONE) + LAST_CHUNK), "no text"),
        ((b"no http\r\n\r\n",), "connection broke off"),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(
    server: ScriptedUpstream, pieces: tuple[bytes, ...], failure: str
) -> None:
    server.answer(then_closing(*pieces))
    with Caller(way(server.port)) as caller:
        assert caller.call(BODY, 10).failure == failure


def test_a_call_has_its_time_and_the_next_one_a_connection_of_its_own(server: ScriptedUpstream) -> None:
    server.answer(then_closing(SSE, 0.9, chunk(ONE), 5.0))
    with Caller(way(server.port)) as caller:
        began = time.monotonic()
        assert caller.call(BODY, 1.0).failure == "timeout"
        assert time.monotonic() - began < 1.8
        server.answer(each(SSE, chunk(ONE + DONE) + LAST_CHUNK))
        assert caller.call(BODY, 10).failure == ""


def test_nobody_there_is_a_failure() -> None:
    with Caller(way(free_port())) as caller:
        assert caller.call(BODY, 1).failure == "no connection (ConnectionRefusedError)"
