"""Reading requests: the same whatever the network cuts, and bounded."""

import pytest

from relay.demo.wire import BODY_BYTES_MAX, CallerGone, Reader, Refused, Request

PLAIN = b"POST /v1/x?beta=1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"


def reader_of(*pieces: bytes) -> Reader:
    waiting = list(pieces)
    return Reader(lambda: waiting.pop(0) if waiting else b"", lambda interim: None)


def request(head: str, body: bytes = b"") -> bytes:
    return f"POST / HTTP/1.1\r\n{head}\r\n\r\n".encode("latin-1") + body


@pytest.mark.parametrize("sent", [PLAIN, CHUNKED])
def test_a_request_reads_the_same_at_every_split_point(sent: bytes) -> None:
    for at in range(1, len(sent)):
        read = reader_of(sent[:at], sent[at:]).read()
        assert (read.method, read.path, read.body) == ("POST", "/v1/x", b"hello")


def test_repeated_headers_are_joined_and_names_are_lower_case() -> None:
    assert reader_of(PLAIN).read().headers == {"host": "a", "x-one": "1, 2", "content-length": "5"}


def test_pipelined_requests_come_one_by_one() -> None:
    reader = reader_of(CHUNKED + PLAIN + CHUNKED)
    assert [reader.read().body for _ in range(3)] == [b"hello"] * 3


def test_early_bytes_are_kept_for_the_next_request() -> None:
    reader = reader_of(PLAIN[20:])
    assert reader.push(PLAIN[:20]) == 20
    assert reader.read().body == b"hello"


def test_a_caller_that_waits_for_100_gets_it_before_its_body_is_read() -> None:
    said: list[bytes] = []
    pieces = [request("Expect: 100-continue\r\nContent-Length: 2")]
    reader = Reader(lambda: pieces.pop(0) if pieces else b"ok" * len(said), said.append)
    assert reader.read().body == b"ok"
    assert said == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_an_end_within_a_request_is_a_caller_gone() -> None:
    with pytest.raises(CallerGone):
        reader_of(PLAIN[:-1]).read()


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, b"nonsense\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n folded: 1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\na: b\x01\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n"),
        (505, b"GET / HTTP/1.0\r\n\r\n"),
        (400, request("Content-Length: +5", b"hello")),
        (400, request("Content-Length: 5\r\nContent-Length: 5", b"hello")),
        (400, request("Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n")),
        (400, request("Transfer-Encoding: gzip, chunked", b"0\r\n\r\n")),
        (400, request("Transfer-Encoding: chunked", b"-1\r\n")),
        (400, request("Transfer-Encoding: chunked", b"2\r\nabc\r\n")),
        (413, request(f"Content-Length: {BODY_BYTES_MAX + 1}")),
        (413, request("Transfer-Encoding: chunked", b"2\r\nab\r\n400000\r\n")),
        (431, b"GET / HTTP/1.1\r\na: " + b"x" * 70_000),
        (431, request("Transfer-Encoding: chunked", b"1;" + b"x" * 70_000)),
    ],
)
def test_what_is_no_request_or_too_large_is_refused(status: int, sent: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        reader_of(sent).read()
    assert refusal.value.status == status


def test_a_body_of_exactly_the_limit_is_read() -> None:
    sent = request(f"Content-Length: {BODY_BYTES_MAX}")
    assert len(reader_of(sent, b"x" * BODY_BYTES_MAX).read().body) == BODY_BYTES_MAX


def test_a_connection_is_kept_unless_the_caller_says_close() -> None:
    assert Request("GET", "/", {}).keeps_alive
    assert not Request("GET", "/", {"connection": "Close"}).keeps_alive
