"""Body framing at every split point, compared with http.client's reading of the same bytes."""

import http.client
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.body import (
    CHUNK_LINE_BYTES_MAX,
    TRAILER_BYTES_MAX,
    BadBody,
    BodyDecoder,
    ByLength,
    Chunked,
    UntilClose,
)
from tests.core.streams import cut_at_random, every_cut, pieces

GOOD = {
    "one chunk": b"5\r\nhello\r\n0\r\n\r\n",
    "nothing": b"0\r\n\r\n",
    "several": b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n",
    "hex digits of both cases": b"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n",
    "leading zeros": b"0005\r\nhello\r\n0000\r\n\r\n",
    "extensions": b'5;name\r\nhello\r\n5 ;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n',
    "trailers": b"5\r\nhello\r\n0\r\nX-One: 1\r\nContent-Length: 7\r\n\r\n",
    "line ends as payload": b"4\r\n\r\n\r\n\r\n2\r\n\n\r\r\n0\r\n\r\n",
    "what looks like framing": b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
}
BAD_SIZES = (
    b"", b" ", b" 5", b"+5", b"-5", b"5_0", b"0x5", b"5h", b"5.", b"5,5", b"\t5", b"5\x0b", b"5\r", b"\r", b"\xb2",
    b"5 5", b";a", b'"5"', b"f" * 17, b"0" * 17, "５".encode(),
)  # fmt: skip

chunk = st.binary(min_size=1, max_size=20)
extension = st.sampled_from((b"", b";a", b";a=b", b' ;a="x;y"', b"\t;z"))
trailer = st.sampled_from((b"", b"A: b\r\n", b"A:\r\nC: d\r\n"))
bodies = st.tuples(st.lists(st.tuples(chunk, extension), max_size=6), trailer)


def chunked(chunks: list[tuple[bytes, bytes]], trailers: bytes = b"") -> bytes:
    framed = [b"%x%b\r\n%b\r\n" % (len(data), ext, data) for data, ext in chunks]
    return b"".join(framed) + b"0\r\n" + trailers + b"\r\n"


def taken(decoder: BodyDecoder, parts: list[bytes]) -> tuple[bytes, bool, bool]:
    payload = b"".join(map(decoder.feed, parts))
    return payload, decoder.ended, decoder.surplus


def refused(parts: list[bytes]) -> bytes:
    """What came out before the decoder refused."""
    decoder, payload = Chunked(), b""
    with pytest.raises(BadBody):
        for part in parts:
            payload += decoder.feed(part)
    assert not decoder.ended
    return payload


class Peer:
    """As much of a socket as http.client needs to read an answer."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._answer)


def read_by_http_client(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = http.client.HTTPResponse(Peer(head + body))  # type: ignore[arg-type]
    response.begin()
    with response:
        return response.read()


@pytest.mark.parametrize("name", GOOD)
def test_a_chunked_body_reads_the_same_at_every_split_point(name: str) -> None:
    payload = read_by_http_client(GOOD[name])
    for parts in every_cut(GOOD[name]):
        assert taken(Chunked(), parts) == (payload, True, False), parts


@given(cut_at_random(bodies.map(lambda drawn: chunked(*drawn))))
def test_any_chunked_body_in_any_pieces_reads_as_http_client_reads_it(cut: tuple[bytes, list[bytes]]) -> None:
    body, parts = cut
    assert taken(Chunked(), parts) == (read_by_http_client(body), True, False)


@pytest.mark.parametrize("name", GOOD)
def test_a_chunked_body_is_over_only_with_its_last_byte(name: str) -> None:
    for at in range(len(GOOD[name])):
        decoder = Chunked()
        decoder.feed(GOOD[name][:at])
        assert not decoder.at_eof()
        assert not decoder.ended
    decoder.feed(GOOD[name][-1:])
    assert decoder.at_eof()


@pytest.mark.parametrize("more", [b"\r\n", b"HTTP/1.1 200 OK\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"\0"])
@pytest.mark.parametrize("name", GOOD)
def test_bytes_behind_the_body_are_surplus_and_no_payload(name: str, more: bytes) -> None:
    payload = read_by_http_client(GOOD[name])
    for parts in every_cut(GOOD[name] + more):
        assert taken(Chunked(), parts) == (payload, True, True), parts


@pytest.mark.parametrize("size", BAD_SIZES)
def test_a_size_that_is_not_plain_hex_is_refused_at_every_split_point(size: bytes) -> None:
    for parts in every_cut(size + b"\r\nhello\r\n0\r\n\r\n"):
        assert refused(parts) == b"", parts
    for parts in every_cut(b"1\r\na\r\n" + size + b"\r\n"):
        assert b"a".startswith(refused(parts)), parts


def test_a_huge_size_is_a_number_and_not_a_buffer() -> None:
    decoder = Chunked()
    assert decoder.feed(b"f" * 16 + b"\r\nabc") == b"abc"
    assert decoder.feed(b"x" * 1000) == b"x" * 1000
    assert not decoder.at_eof()


@pytest.mark.parametrize("name", GOOD)
def test_a_bare_lf_is_no_line_end_anywhere(name: str) -> None:
    ends = [found.start() for found in re.finditer(rb"\r\n", GOOD[name])]
    for at in ends:
        body = GOOD[name][:at] + GOOD[name][at + 1 :]
        if name not in ("line ends as payload", "what looks like framing"):
            refused([body])
            refused([body[at : at + 1] for at in range(len(body))])


@pytest.mark.parametrize("end", [b"", b"x\r\n", b"\r\r\n", b" \r\n", b"\n", b"0\r\n\r\n"])
def test_a_chunk_that_does_not_end_with_its_size_is_refused(end: bytes) -> None:
    for parts in every_cut(b"5\r\nhello" + end + b"5\r\nhello\r\n"):
        assert b"hello".startswith(refused(parts)), parts


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_chunk_line_is_bounded(step: int) -> None:
    longest = b"5;" + b"x" * (CHUNK_LINE_BYTES_MAX - 4) + b"\r\n"
    body = longest + b"hello\r\n0\r\n\r\n"
    assert taken(Chunked(), pieces(body, range(0, len(body), step)))[:2] == (b"hello", True)
    for endless in (b"5;x" + longest[2:], b"5;" + b"x" * 70_000, b"0" * 70_000, b"5\r\nhello" + b"\r" * 70_000):
        refused(pieces(endless, range(0, len(endless), step)))


@pytest.mark.parametrize("step", [7, 10_000])
def test_trailers_are_dropped_and_bounded(step: int) -> None:
    room = TRAILER_BYTES_MAX - len(b"\r\n")
    for trailers in (b"A:" + b"b" * (room - 4) + b"\r\n", b"A: b\r\n" * (room // 6)):
        body = b"1\r\na\r\n0\r\n" + trailers + b"\r\n"
        assert taken(Chunked(), pieces(body, range(0, len(body), step)))[:2] == (b"a", True)
    for endless in (b"A:" + b"b" * TRAILER_BYTES_MAX, b"A: b\r\n" * 3_000):
        refused(pieces(b"0\r\n" + endless, range(0, len(endless), step)))


class Counted(bytes):
    """Counts the bytes that were searched in it or cut out of it."""

    touched = 0

    def find(self, wanted: bytes, start: int = 0, end: int = 2**62) -> int:  # type: ignore[override]
        found = super().find(wanted, start, end)
        Counted.touched += (min(end, len(self)) if found < 0 else found) - start
        return found

    def __getitem__(self, place: slice) -> bytes:  # type: ignore[override]
        cut = super().__getitem__(place)
        Counted.touched += len(cut)
        return cut


@pytest.mark.parametrize(("chunk_bytes", "step"), [(1, 65_536), (1, 1), (1_048_576, 100), (10_000, 65_536)])
def test_each_byte_is_looked_at_a_bounded_number_of_times(chunk_bytes: int, step: int) -> None:
    Counted.touched = 0
    total = min(chunk_bytes * 20_000, 1_048_576)
    body = chunked([(b"x" * chunk_bytes, b"")] * (total // chunk_bytes))
    payload, ended, _ = taken(Chunked(), [Counted(part) for part in pieces(body, range(0, len(body), step))])
    assert (len(payload), ended) == (total // chunk_bytes * chunk_bytes, True)
    assert Counted.touched <= 3 * len(body)


@given(cut_at_random(st.binary(max_size=30)), st.integers(0, 30))
def test_a_body_of_a_declared_length_is_that_long(cut: tuple[bytes, list[bytes]], length: int) -> None:
    body, parts = cut
    decoder = ByLength(length)
    assert taken(decoder, parts) == (body[:length], len(body) >= length, len(body) > length)
    assert decoder.at_eof() is (len(body) >= length)
    assert decoder.length_bytes == length


@given(cut_at_random(st.binary(max_size=30)))
def test_a_body_without_framing_ends_with_the_connection(cut: tuple[bytes, list[bytes]]) -> None:
    body, parts = cut
    decoder = UntilClose()
    assert taken(decoder, parts) == (body, False, False)
    assert decoder.at_eof()
    assert decoder.ended


def test_only_a_declared_length_is_known_beforehand() -> None:
    assert (Chunked().length_bytes, UntilClose().length_bytes, ByLength(7).length_bytes) == (None, None, 7)
    assert ByLength(0).ended
    assert not Chunked().ended
