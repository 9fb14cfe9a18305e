"""One request, and each way in which it may fail: it is told, never raised."""

import gzip
import ssl
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from relay.diagnosis.asking import Address
from tests.live.bench.conversation import Connection
from tests.live.bench.ports import free_port
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk

FRAME = b'data: {"n":1,"of":1,"sent_at_ms":5,"elapsed_ms":0}\n\n'
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def server() -> Iterator[ScriptedUpstream]:
    scripted = ScriptedUpstream().start()
    yield scripted
    scripted.stop()


def at(url: str) -> Address:
    return Address(urlsplit(url), ssl.create_default_context())


def saying(*pieces: bytes, close: bool = True) -> Callable[[Connection], None]:
    def answer(conn: Connection) -> None:
        conn.read_request()
        for piece in pieces:
            conn.send(piece)
        conn.close() if close else conn.wait_closed(20)

    return answer


def test_an_answer_is_kept_with_its_headers_and_the_first_of_its_body(server: ScriptedUpstream) -> None:
    server.answer(saying(b"HTTP/1.1 404 Not Found\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nno"))
    answer = at(f"http://127.0.0.1:{server.port}/sse").ask("GET", "/health/live", {"Origin": "https://a.example"})
    assert (answer.status, answer.version, answer.all_of("x-a"), answer.body) == (404, 11, ["1", "2"], b"no")
    head = server.requests[0]
    assert (head.method, head.path) == ("GET", "/sse/health/live")
    assert (head.header("origin"), head.header("accept-encoding")) == ("https://a.example", "identity")


@pytest.mark.parametrize("compress", [False, True])
def test_a_stream_is_read_compressed_too(server: ScriptedUpstream, compress: bool) -> None:
    body, coding = FRAME + DONE, b"Content-Encoding: gzip\r\n" if compress else b""
    sent = gzip.compress(body) if compress else body
    server.answer(saying(SSE + coding + b"\r\n", chunk(sent[:9]), chunk(sent[9:]) + LAST_CHUNK))
    stream = at(f"http://127.0.0.1:{server.port}").listen("/selftest", {"Accept-Encoding": "gzip"}, 5.0)
    assert (len(stream.frames), stream.ended, stream.answer.failure) == (1, True, None)


def test_a_stream_that_breaks_keeps_what_came(server: ScriptedUpstream) -> None:
    server.answer(saying(SSE + b"\r\n", chunk(FRAME)))
    stream = at(f"http://127.0.0.1:{server.port}").listen("/selftest", {}, 5.0)
    assert (len(stream.frames), stream.ended) == (1, False)
    assert stream.answer.failure is not None
    assert stream.answer.failure.kind == "closed"


def test_a_stream_that_stays_silent_is_left_in_time(server: ScriptedUpstream) -> None:
    def answer(conn: Connection) -> None:
        conn.read_request()
        conn.stall(0.9)
        conn.send(SSE + b"\r\n" + chunk(FRAME))
        conn.wait_closed(20)

    server.answer(answer)
    began = time.monotonic()
    stream = at(f"http://127.0.0.1:{server.port}").listen("/selftest", {}, 1.0)
    assert time.monotonic() - began < 1.8
    assert stream.answer.failure is not None
    assert (stream.answer.failure.kind, len(stream.frames)) == ("silence", 1)
    assert stream.quiet_seconds[0] > 0.7
    assert 0.0 < stream.quiet_seconds[2] < 0.9


def test_a_refusal_of_a_stream_keeps_its_body(server: ScriptedUpstream) -> None:
    body = b'{"error":{"code":"rate_limit_exceeded"}}'
    server.answer(saying(b"HTTP/1.1 429 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body))
    stream = at(f"http://127.0.0.1:{server.port}").listen("/selftest", {}, 5.0)
    assert (stream.answer.status, stream.answer.code) == (429, "rate_limit_exceeded")


def test_a_server_that_says_nothing_sensible_is_told(server: ScriptedUpstream) -> None:
    server.answer(saying(b"SSH-2.0-x\r\n\r\n"))
    answer = at(f"http://127.0.0.1:{server.port}").ask("GET", "/", {})
    assert answer.failure is not None
    assert (answer.status, answer.failure.kind) == (0, "closed")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"http://127.0.0.1:{free_port()}", "connect"),
        ("http://no.such.name.invalid", "dns"),
        (f"http://{'a' * 70}.example", "dns"),
    ],
    ids=["nobody listens", "no such name", "no name at all"],
)
def test_an_address_without_a_server_is_told(url: str, kind: str) -> None:
    for failure in (at(url).ask("GET", "/", {}).failure, at(url).listen("/", {}, 5.0).answer.failure):
        assert failure is not None
        assert failure.kind == kind


def test_plain_http_under_https_is_a_tls_failure(server: ScriptedUpstream) -> None:
    server.answer(lambda conn: conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    failure = at(f"https://127.0.0.1:{server.port}").ask("GET", "/", {}).failure
    assert failure is not None
    assert (failure.kind, failure.detail) == ("tls", "the TLS handshake fails: wrong version number")
