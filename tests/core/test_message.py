"""Heads: an answer's is read the same however it arrives, and refused where two readers could disagree."""

import http.client
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.head import BadHead
from relay.core.message import HEAD_BYTES_MAX, HEADERS_MAX, LINE_BYTES_MAX, AnswerHead, HeadReader, request_head
from tests.core.streams import every_cut

OK = b"HTTP/1.1 200 OK\r\n"
HEADS = {
    "usual": (OK + b"Content-Type: a/b\r\nX: a, b\r\n\r\n", True, 200, (("Content-Type", "a/b"), ("X", "a, b"))),
    "no headers": (b"HTTP/1.0 204 No Content\r\n\r\n", False, 204, ()),
    "no reason": (b"HTTP/1.1 599\r\n\r\n", True, 599, ()),
    "an empty reason": (b"HTTP/1.1 200 \r\n\r\n", True, 200, ()),
    "bare line ends": (b"HTTP/1.1 200 OK\nA: 1\nB:2\n\n", True, 200, (("A", "1"), ("B", "2"))),
    "the same header twice": (OK + b"A: 1\r\na: 2\r\n\r\n", True, 200, (("A", "1"), ("a", "2"))),
    "space and bytes": (OK + b"A: \t caf\xe9 \t\r\nB:\r\n\r\n", True, 200, (("A", "caf\xe9"), ("B", ""))),
    "interim first": (b"HTTP/1.1 100 Go\r\nA: 1\r\n\r\n" + OK + b"B: 2\r\n\r\n", True, 200, (("B", "2"),)),
}  # fmt: skip
BAD_LINES = {
    "folded": b"A: 1\r\n folded",
    "a folded first": b" A: 1",
    "without a colon": b"A",
    "space before the colon": b"A : 1",
    "no name": b": 1",
    "NUL in a value": b"A: \0",
    "CR in a value": b"A: 1\r2",
    "CR in a name": b"A\r: 1",
    "8-bit name": b"\xe9: 1",
    "too long": b"A: " + b"x" * LINE_BYTES_MAX,
}
BAD_STARTS = [
    b"", b"\r\n", b"ICY 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1.2 200 OK", b"HTTP/2 200", b"http/1.1 200 OK",
    b"HTTP/1.1 099 X", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 200OK", b"HTTP/1.1  200 OK",
    b" HTTP/1.1 200 OK", b"HTTP/1.1 +20 OK",
    b"HTTP/1.1 200 O\0K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 " + b"x" * LINE_BYTES_MAX,
]  # fmt: skip


def read(parts: list[bytes]) -> tuple[AnswerHead | None, bytes]:
    """The head, and all that came behind it."""
    reader, head = HeadReader(), None
    for number, part in enumerate(parts):
        head = reader.feed(part)
        if head is not None:
            return head, reader.rest + b"".join(parts[number + 1 :])
    return None, reader.rest


@pytest.mark.parametrize("name", HEADS)
def test_a_head_says_the_same_at_every_split_point(name: str) -> None:
    raw, *expected = HEADS[name]
    body = b"\n\n\r\n\r\nbody"
    for parts in every_cut(raw + body):
        head, rest = read(parts)
        assert head == AnswerHead(*expected), parts  # type: ignore[arg-type]
        assert rest == body, parts


def test_a_head_that_is_not_whole_is_none() -> None:
    raw = HEADS["usual"][0]
    assert all(read([raw[:length]])[0] is None for length in range(len(raw)))


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
@pytest.mark.parametrize("around", [b"%b\r\nB: 1\r\n", b"B: 1\r\n%b\r\n"])
def test_a_broken_line_breaks_the_head(line: bytes, around: bytes) -> None:
    raw = OK + around % line + b"\r\n"
    for parts in ([raw], [raw[:-9], raw[-9:]]):
        with pytest.raises(BadHead):
            read(parts)


@pytest.mark.parametrize("start", BAD_STARTS, ids=lambda start: repr(start[:20]))
def test_a_broken_status_line_breaks_the_head(start: bytes) -> None:
    with pytest.raises(BadHead):
        read([start + b"\r\nA: 1\r\n\r\n"])


def test_what_does_not_begin_like_an_answer_is_refused_with_its_first_line() -> None:
    """Its end may never come."""
    for parts in every_cut(b"ICY 200 OK\r\n"):
        with pytest.raises(BadHead):
            read(parts)
    assert read([b"HTTP/1.1 200 OK\r\n"])[0] is None
    with pytest.raises(BadHead):
        read([b"HTTP/1.1 100 Go\r\n\r\n", b"ICY 200 OK\r\n"])


def test_a_head_may_have_so_many_headers_and_not_one_more() -> None:
    head, _ = read([OK + b"A: 1\r\n" * HEADERS_MAX + b"\r\n"])
    assert head is not None
    assert len(head.headers) == HEADERS_MAX
    with pytest.raises(BadHead):
        read([OK + b"A: 1\r\n" * (HEADERS_MAX + 1) + b"\r\n"])


@pytest.mark.parametrize(
    "endless", [b"A: 1\r\n", b"x", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["headers", "a line", "interim answers"]
)
def test_a_head_that_never_ends_is_given_up(endless: bytes) -> None:
    reader = HeadReader()
    with pytest.raises(BadHead):
        for _ in range(HEAD_BYTES_MAX // 1000 + 10):
            reader.feed(endless * (1000 // len(endless) + 1))
    assert len(reader.rest) < HEAD_BYTES_MAX + 2000


@given(st.lists(st.tuples(st.from_regex(r"\A[A-Za-z0-9-]{1,9}\Z"), st.from_regex(r"\A[!-~]{0,9}\Z")), max_size=9))
def test_what_it_reads_http_client_reads_too(headers: list[tuple[str, str]]) -> None:
    raw = OK + b"".join(f"{name}: {value}\r\n".encode() for name, value in headers) + b"\r\n"
    head, _ = read([raw])
    assert head is not None
    theirs = http.client.parse_headers(io.BytesIO(raw[len(OK) :])).items()
    assert list(head.headers) == theirs


def test_a_requests_head_is_written_in_the_order_of_its_headers() -> None:
    raw = request_head("POST", "/v1/x?y", "h:1", [("B", "2"), ("A", "caf\xe9")])
    assert raw == b"POST /v1/x?y HTTP/1.1\r\nHost: h:1\r\nB: 2\r\nA: caf\xe9\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nB: 1", "a\n", "\ra", "a\0", "\u20ac"])
def test_a_value_that_would_break_its_line_is_not_written(value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of whatever kind
        request_head("GET", "/", "h", [("A", value)])
