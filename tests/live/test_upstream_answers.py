"""Answers that a caller gets as they are, and answers that are refused: FAULTS D11 to D13, B15 to B17."""

import gzip
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import (
    CLOSE,
    Script,
    chat_stream,
    error_answer,
    in_turn,
    json_answer,
    length,
    polite,
    sse_head,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.misbehaviour import BODY, MEGABYTE, forever, ok, once, resident_bytes, say_no_more, stalling
from tests.live.pairs import Case, assert_refused

pytest_plugins = ["tests.live.shared_pairs"]

SSE = b"".join(chat_stream("one"))
BOMB = gzip.compress(bytes(16 * MEGABYTE), 9)


def test_d11_the_upstreams_own_limits_pass_with_their_headers(case: Case, stream: bool) -> None:
    limits = {
        "retry-after": "7",
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    lines = [f"{name}: {value}" for name, value in limits.items()]
    case.upstream.answer(once(error_answer("429 Too Many Requests", "rate_limit_exceeded", *lines)))
    answer = case.answer(stream=stream)
    assert (answer.status, answer.code, answer.whole) == (429, "rate_limit_exceeded", True)
    assert {name: answer.head.all_of(name) for name in limits} == {name: [value] for name, value in limits.items()}
    assert answer.head.header("relay-error-source") == "upstream"
    assert answer.head.header("content-type") == "application/json"
    case.assert_logged(status=429, upstream_status=429)


def test_d11_the_relays_own_limit_says_whose_it_is(plain: Case) -> None:
    plain.upstream.answer(stalling())
    first = plain.ask(stream=True)
    plain.upstream.wait_for_requests(1)
    answer = plain.answer(stream=True)
    assert (answer.status, answer.code) == (429, "too_many_streams")
    assert answer.head.header("relay-error-source") == "relay"
    assert len(plain.upstream.requests) == 1
    plain.answer_to(first)


def test_d11_on_success_only_the_relays_limits_are_told(plain: Case) -> None:
    plain.upstream.answer(once(ok(b"x-ratelimit-limit-requests: 3", b"x-ratelimit-reset-tokens: 6m0s")))
    answer = plain.answer(stream=False)
    assert answer.head.all_of("x-ratelimit-limit-requests") == ["1000000"]
    assert answer.head.all_of("x-ratelimit-reset-tokens") == []


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
def test_d12_a_failure_passes_and_is_not_tried_again(case: Case, status: str, stream: bool) -> None:
    case.upstream.answer(in_turn(once(error_answer(status, "server_error")), polite))
    answer = case.answer(stream=stream)
    assert (answer.status, answer.code, answer.whole) == (int(status[:3]), "server_error", True)
    assert answer.head.header("relay-error-source") == "upstream"
    assert (len(case.upstream.requests), case.upstream.accepted) == (1, 1)
    case.assert_logged(status=int(status[:3]), upstream_status=int(status[:3]))


@pytest.mark.parametrize("leave", [Connection.close, Connection.reset])
def test_d12_a_request_is_not_sent_again_when_no_answer_came(case: Case, leave: Callable[[Connection], None]) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        leave(conn)

    case.upstream.answer(in_turn(script, polite))
    assert_refused(case.answer(stream=True), "upstream_bad_response")
    assert (len(case.upstream.requests), case.upstream.accepted) == (1, 1)
    case.assert_logged(status=502, error="upstream_bad_response")


def refusing_early(conn: Connection) -> None:
    """Answers after the first bytes and closes: what is unread makes the kernel send a reset."""
    conn.receive()
    conn.send(error_answer("413 Payload Too Large", "too_large", CLOSE))


def refusing_early_and_reading_on(conn: Connection) -> None:
    conn.receive()
    conn.send(error_answer("413 Payload Too Large", "too_large", CLOSE))
    say_no_more(conn)
    while not conn.wait_closed(0):
        conn.receive()


@pytest.mark.parametrize("filler_bytes", [100, 2 * MEGABYTE - 1000])
@pytest.mark.parametrize("script", [refusing_early, refusing_early_and_reading_on])
def test_d13_an_early_answer_is_delivered(case: Case, script: Script, filler_bytes: int) -> None:
    case.upstream.answer(script)
    answer = case.answer(stream=True, filler_bytes=filler_bytes)
    assert (answer.status, answer.code, answer.whole) == (413, "too_large", True)
    assert answer.head.header("relay-error-source") == "upstream"
    case.assert_logged(status=413, upstream_status=413)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(SSE)),
        ("GZIP", gzip.compress(SSE)),
        ("br", SSE),
        ("zstd", SSE),
        ("deflate", SSE),
        ("gzip, gzip, gzip, gzip, gzip, gzip", gzip.compress(SSE)),
        ("identity, gzip", gzip.compress(SSE)),
        ("gzip", BOMB),
        ("unheard-of", SSE),
    ],
    ids=["gzip", "capitals", "br", "zstd", "deflate", "six", "two", "bomb", "unknown"],
)
def test_b15_a_compressed_answer_is_refused_unread(plain: Case, encoding: str, body: bytes) -> None:
    held = resident_bytes(plain.relay.worker_pids())
    plain.upstream.answer(once(sse_head(length(len(body)), f"Content-Encoding: {encoding}") + body))
    assert_refused(plain.answer(stream=True), "upstream_bad_response")
    assert plain.upstream.requests[0].header("accept-encoding") == "identity"
    assert resident_bytes(plain.relay.worker_pids()) - held < 8 * MEGABYTE
    plain.assert_logged(status=502, error="upstream_bad_response", upstream_status=200)


@pytest.mark.parametrize("line", [b"Content-Encoding: identity", b"Content-Encoding:"])
def test_b15_no_compression_passes_without_its_header(plain: Case, line: bytes) -> None:
    plain.upstream.answer(once(ok(line)))
    answer = plain.answer(stream=False)
    assert (answer.status, answer.body, answer.head.header("content-encoding")) == (200, BODY, None)


@pytest.fixture
def elsewhere() -> Iterator[ScriptedUpstream]:
    upstream = ScriptedUpstream().start()
    yield upstream
    upstream.stop()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_b16_a_redirect_is_neither_followed_nor_shown(
    plain: Case, elsewhere: ScriptedUpstream, status: int, stream: bool
) -> None:
    location = f"http://127.0.0.1:{elsewhere.port}/secret-place"
    plain.upstream.answer(once(json_answer({}, f"Location: {location}", status=f"{status} Moved")))
    answer = plain.answer(stream=stream)
    assert_refused(answer, "upstream_redirect")
    assert answer.head.header("location") is None
    assert b"secret-place" not in answer.body
    assert (elsewhere.accepted, len(plain.upstream.requests)) == (0, 1)
    plain.assert_logged(status=502, error="upstream_redirect", upstream_status=status)


def test_b16_a_redirects_endless_body_is_not_read(case: Case) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Type: text/html\r\n\r\n"
    case.upstream.answer(forever(head, b"<p>moved</p>"))
    answer = case.answer(stream=True)
    assert_refused(answer, "upstream_redirect")
    case.upstream.wait_for_peer_close(timeout_seconds=1)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([b"Content-Length: 5"], id="two lengths"),
        pytest.param([b"Content-Length: 5, 6"], id="list"),
        pytest.param([b"Content-Length: -5"], id="negative"),
        pytest.param([b"Content-Length: +5"], id="signed"),
        pytest.param([b"Content-Length: 1_0"], id="underscore"),
        pytest.param([b"Content-Length: 0x5"], id="hexadecimal"),
        pytest.param([b"Content-Length: 5 5"], id="two numbers"),
        pytest.param([b"Content-Length:"], id="empty"),
        pytest.param([b"Content-Length: " + b"9" * 30], id="huge"),
        pytest.param([b"Transfer-Encoding: chunked"], id="length and chunked"),
    ],
)
def test_b17_an_answer_of_doubtful_length_is_refused(plain: Case, lines: list[bytes]) -> None:
    plain.upstream.answer(once(ok(*lines)))
    assert_refused(plain.answer(stream=False), "upstream_bad_response")
    plain.assert_logged(status=502, error="upstream_bad_response")


@pytest.mark.parametrize(
    ("version", "coding"),
    [
        (b"HTTP/1.1", b"gzip, chunked"),
        (b"HTTP/1.1", b"chunked, chunked"),
        (b"HTTP/1.1", b"identity"),
        (b"HTTP/1.1", b"xchunked"),
        (b"HTTP/1.1", b"\x0bchunked"),
        (b"HTTP/1.0", b"chunked"),
    ],
)
def test_b17_a_doubtful_transfer_coding_is_refused(plain: Case, version: bytes, coding: bytes) -> None:
    head = version + b" 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
    plain.upstream.answer(once(head + chunk(BODY) + LAST_CHUNK))
    assert_refused(plain.answer(stream=False), "upstream_bad_response")
