"""What goes wrong before or in an upstream's head: FAULTS D5, D6, D11 to D13, D15 and B11, B13, B15 to B17.

How a head is read does not depend on TLS, so the many malformed ones go over a plain connection only.
"""

import gzip
import itertools
import json
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.certificates import Certificates
from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import (
    CLOSE,
    Script,
    chat_completion,
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
from tests.live.pairs import (
    EARLY_SECONDS_MAX,
    HEAD_SECONDS,
    LATE_SECONDS_MAX,
    Answer,
    Case,
    Pair,
    resident_bytes,
    running_pair,
)

BODY = json.dumps(chat_completion("Hello world")).encode()
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def plain_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("relay")) as pair:
        yield pair


@pytest.fixture(scope="module")
def tls_pair(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("relay"), certificates) as pair:
        yield pair


@pytest.fixture(params=["http", "https"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    pair: Pair = request.getfixturevalue("plain_pair" if request.param == "http" else "tls_pair")
    with pair.case() as case:
        yield case


@pytest.fixture
def plain(plain_pair: Pair) -> Iterator[Case]:
    with plain_pair.case() as case:
        yield case


@pytest.fixture(params=[True, False], ids=["stream", "no stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def ok(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = BODY) -> bytes:
    """An answer with these header lines before its own."""
    own = (b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    return b"\r\n".join([status, *lines, *own, b"", body])


def once(raw: bytes) -> Script:
    """Say this to one request, and that it was all; the connection stays until the peer has left."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(raw)
        conn.finish()
        conn.wait_closed(10)

    return script


def forever(head: bytes, again: bytes) -> Script:
    """Say `again` without end, as fast as it is taken."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(head)
        for _ in itertools.repeat(None, 4096):  # 256 MiB
            conn.send(again * (65536 // len(again)))

    return script


def assert_refused(answer: Answer, code: str, status: int = 502) -> None:
    assert (answer.status, answer.whole) == (status, True), answer
    assert answer.code == code
    assert answer.head.header("x-should-retry") == "false"
    assert answer.head.header("relay-error-source") == "relay"


def assert_passed_or_refused(answer: Answer) -> None:
    """As it was meant, or not at all."""
    if answer.status == 200:
        assert (answer.body, answer.whole) == (BODY, True)
    else:
        assert_refused(answer, "upstream_bad_response")


# D5, D6: silence and slowness


def silent(conn: Connection) -> None:
    conn.read_request()
    conn.stall(30)


def dripping(conn: Connection) -> None:
    conn.read_request()
    conn.drip(ok(), 0.1)


@pytest.mark.parametrize("script", [silent, dripping])
def test_d5_d6_a_head_that_does_not_come_ends_at_its_deadline(case: Case, script: Script, stream: bool) -> None:
    case.upstream.answer(script)
    answer = case.answer(stream=stream)
    assert_refused(answer, "upstream_timeout", status=504)
    assert HEAD_SECONDS - EARLY_SECONDS_MAX < answer.seconds < HEAD_SECONDS + LATE_SECONDS_MAX
    case.upstream.wait_for_peer_close(timeout_seconds=1)
    assert len(case.upstream.requests) == 1
    case.assert_logged(status=504, error="upstream_timeout")


# D11, D12: the upstream's own refusals


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
    plain.upstream.answer(silent)
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
def test_d12_a_request_is_not_sent_again_when_no_answer_came(
    case: Case, leave: Callable[[Connection], None], stream: bool
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        leave(conn)

    case.upstream.answer(in_turn(script, polite))
    assert_refused(case.answer(stream=stream), "upstream_bad_response")
    assert (len(case.upstream.requests), case.upstream.accepted) == (1, 1)
    case.assert_logged(status=502, error="upstream_bad_response")


# D13: an answer before the request was read


def refusing_early(conn: Connection) -> None:
    """Answers after the first bytes and closes: what is unread makes the kernel send a reset."""
    conn.receive()
    conn.send(error_answer("413 Payload Too Large", "too_large", CLOSE))


def refusing_early_and_reading_on(conn: Connection) -> None:
    conn.receive()
    conn.send(error_answer("413 Payload Too Large", "too_large", CLOSE))
    conn.finish()
    while not conn.wait_closed(0):
        conn.receive()


@pytest.mark.parametrize("filler_bytes", [100, 2 * MEGABYTE - 1000])
@pytest.mark.parametrize("script", [refusing_early, refusing_early_and_reading_on])
def test_d13_an_early_answer_is_delivered(case: Case, script: Script, filler_bytes: int, stream: bool) -> None:
    case.upstream.answer(script)
    answer = case.answer(stream=stream, filler_bytes=filler_bytes)
    assert (answer.status, answer.code, answer.whole) == (413, "too_large", True)
    assert answer.head.header("relay-error-source") == "upstream"
    case.assert_logged(status=413, upstream_status=413)


# D15: no HTTP at all, or too much of it


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x00\xff\x13\r\n\r\n", id="bytes"),
        pytest.param(b"<html>It works!</html>", id="HTTP/0.9"),
        pytest.param(ok(status=b"ICY 200 OK"), id="another protocol"),
        pytest.param(ok(status=b"HTTP/2.0 200 OK"), id="another version"),
        pytest.param(ok(status=b"HTTP/1.x 200 OK"), id="no version"),
        pytest.param(ok(status=b"HTTP/1.1 abc OK"), id="no status"),
        pytest.param(ok(status=b"HTTP/1.1 +200 OK"), id="signed status"),
        pytest.param(ok(status=b"HTTP/1.1 1000 OK"), id="long status"),
        pytest.param(b"HTTP/1.1 20", id="end in the status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Ty", id="end in a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", id="end between two headers"),
        pytest.param(ok(b"X-Long: " + b"x" * 65 * 1024), id="header of 65 KiB"),
        pytest.param(ok(*[b"X-Many: 1"] * 99), id="101 headers"),
    ],
)
def test_d15_what_is_no_http_answer_is_refused(plain: Case, raw: bytes) -> None:
    plain.upstream.answer(once(raw))
    assert_refused(plain.answer(stream=False), "upstream_bad_response")
    plain.assert_logged(status=502, error="upstream_bad_response")


@pytest.mark.parametrize(
    ("head", "again"),
    [
        pytest.param(b"", b"x", id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Endless: ", b"x", id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-Endless: 1\r\n", id="headers"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="interim answers"),
    ],
)
def test_d15_an_endless_head_is_refused_and_costs_nobody_else(case: Case, head: bytes, again: bytes) -> None:
    held = resident_bytes(case.relay.worker_pids())
    case.upstream.answer(forever(head, again))
    caller = case.ask(stream=True)
    health = case.get("/health/live")
    answer = case.answer_to(caller, timeout_seconds=30)
    assert answer.status in (502, 504)
    assert answer.seconds < HEAD_SECONDS + LATE_SECONDS_MAX
    assert health.seconds < 1.0
    assert resident_bytes(case.relay.worker_pids()) - held < 16 * MEGABYTE


def test_d15_an_endless_chunk_size_ends_the_stream(case: Case) -> None:
    """The head was fine and is out, so that the frame has to tell."""
    held = resident_bytes(case.relay.worker_pids())
    case.upstream.answer(forever(sse_head() + chunk(chat_stream("one")[0]), b"0"))
    answer = case.answer(stream=True)
    assert (answer.status, len(answer.frames), answer.whole) == (200, 2, False)
    assert answer.told["code"] == "upstream_bad_response"
    assert resident_bytes(case.relay.worker_pids()) - held < 16 * MEGABYTE
    case.upstream.wait_for_peer_close(timeout_seconds=1)
    case.assert_logged(end="truncated", status=200)


# B11: what may not stand in a head


@pytest.mark.parametrize(
    "value",
    [b"a\x01b", b"a\x00b", b"a\x7fb", b"a\xe9b", b"a\rRetry-After: 66", b"a\r\n Retry-After: 66"],
    ids=["control", "NUL", "DEL", "obs-text", "bare CR", "fold"],
)
def test_b11_an_unclean_header_is_dropped_or_its_answer_refused(plain: Case, value: bytes, stream: bool) -> None:
    plain.upstream.answer(once(ok(b"Openai-Version: " + value)))
    answer = plain.answer(stream=stream)
    assert_passed_or_refused(answer)
    assert answer.head.header("retry-after") is None
    assert all(character in "a" for character in (answer.head.header("openai-version") or "").split(" ")[0])


@pytest.mark.parametrize(
    "line",
    [b"no colon", b"X-Space : 1", b"X-\xe9: 1", b"X-\x01: 1", b": no name"],
    ids=["no colon", "space before the colon", "8-bit name", "control in the name", "no name"],
)
def test_b11_a_broken_header_line_hides_nothing_behind_it(plain: Case, line: bytes) -> None:
    """Python's parser takes such a line for the end of the headers: the framing would be read as a body."""
    chunked = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(BODY) + LAST_CHUNK
    plain.upstream.answer(once(chunked))
    assert_passed_or_refused(plain.answer(stream=False))


def test_b11_a_header_cannot_bring_another_framing(plain: Case) -> None:
    plain.upstream.answer(once(ok(b"X-Note: a\rContent-Length: 3")))
    assert_passed_or_refused(plain.answer(stream=False))


@pytest.mark.parametrize("reason", [b"\xe9\xff", b"a\x01b", b"", b"x" * 60_000], ids=["8-bit", "control", "none", "long"])
def test_b11_the_upstreams_reason_stays_behind(plain: Case, reason: bytes) -> None:
    plain.upstream.answer(once(ok(status=b"HTTP/1.1 200 " + reason)))
    answer = plain.answer(stream=False)
    assert_passed_or_refused(answer)
    assert answer.head.start_line in ("HTTP/1.1 200 OK", "HTTP/1.1 502 BAD GATEWAY")


# B13: interim answers


def test_b13_a_100_is_followed_by_the_answer(case: Case, stream: bool) -> None:
    answers = sse_head() + b"".join(map(chunk, chat_stream("one"))) + LAST_CHUNK if stream else ok()
    case.upstream.answer(once(b"HTTP/1.1 100 Continue\r\n\r\n" + answers))
    answer = case.answer(stream=stream)
    assert (answer.status, answer.whole) == (200, True)
    assert answer.body == (b"".join(chat_stream("one")) if stream else BODY)


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"102 Processing", b"103 Early Hints"])
def test_b13_another_interim_answer_is_refused_and_its_connection_not_used_again(plain: Case, status: bytes) -> None:
    interim = b"HTTP/1.1 " + status + b"\r\nLink: </style.css>\r\n\r\n"

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(interim)
        conn.stall(10)

    plain.upstream.answer(script)
    assert_refused(plain.answer(stream=True), "upstream_bad_response")
    plain.upstream.wait_for_peer_close(timeout_seconds=1)
    plain.assert_logged(status=502, error="upstream_bad_response", upstream_status=int(status[:3]))


# B15: compression that nobody asked for

SSE = b"".join(chat_stream("one"))
BOMB = gzip.compress(bytes(16 * MEGABYTE), 9)


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


# B16: redirects


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


# B17: contradicting framings


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
def test_b17_an_answer_of_doubtful_length_is_refused(plain: Case, lines: list[bytes], stream: bool) -> None:
    plain.upstream.answer(once(ok(*lines)))
    assert_refused(plain.answer(stream=stream), "upstream_bad_response")
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
