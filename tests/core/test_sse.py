"""The framer at every split point, compared with a second reader and the decoders of httpx-sse and openai-python."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import sse
from relay.core.sse import FrameParser, LineEnds, data_frame, data_of, frames_in
from tests.core.streams import (
    BOM,
    CORPUS,
    SOUP,
    Decode,
    blocks,
    cut_at_random,
    every_cut,
    httpx_events,
    openai_events,
    pieces,
    read,
)

UTF8_SOUP = SOUP.filter(lambda body: body.decode(errors="replace").encode() == body)
CAP = 1_048_576
FRAME_OF_TEN = b"data: 7890"


def frames_of(parts: list[bytes], cap: int = CAP) -> tuple[list[bytes], bool, int]:
    parser = FrameParser(cap)
    frames = [frame for part in parts for frame in frames_in(parser.feed(part))]
    return frames, parser.overflowed, len(parser._partial)


def expected(body: bytes) -> list[bytes]:
    return [b"\n".join(lines) + b"\n\n" for lines in blocks(body)]


@pytest.mark.parametrize("name", CORPUS)
def test_a_body_gives_the_same_frames_at_every_split_point(name: str) -> None:
    whole = frames_of([CORPUS[name]])
    assert whole[0] == expected(CORPUS[name])
    for parts in every_cut(CORPUS[name]):
        assert frames_of(parts) == whole, parts


@given(cut_at_random(SOUP))
def test_any_lines_in_any_pieces_give_the_frames_of_the_whole(body_and_parts: tuple[bytes, list[bytes]]) -> None:
    body, parts = body_and_parts
    assert frames_of(parts) == frames_of([body])
    assert frames_of(parts)[0] == expected(body)


@given(cut_at_random(st.binary(max_size=60) | st.text(alphabet="\n\r:d\ufeff\u2028", max_size=40).map(str.encode)))
def test_any_bytes_at_all_give_the_frames_of_the_whole(body_and_parts: tuple[bytes, list[bytes]]) -> None:
    body, parts = body_and_parts
    assert frames_of(parts) == frames_of([body])
    assert frames_of(parts)[0] == expected(body)


@given(SOUP)
def test_the_frames_say_what_the_body_says(body: bytes) -> None:
    told = read(b":\n\n" + b"".join(frames_of([body])[0]))  # a second BOM must not lead
    assert told == read(body)


@pytest.mark.parametrize("decode", [openai_events, httpx_events])
@given(body=UTF8_SOUP)
def test_other_decoders_read_the_frames_as_they_read_the_body(decode: Decode, body: bytes) -> None:
    frames = b"".join(frames_of([body])[0])
    told, meant = ([event for event in decode(sent) if event.data] for sent in (frames, body.removeprefix(BOM)))
    assert told == meant


@given(SOUP)
def test_each_frame_ends_in_its_only_blank_line_and_has_no_carriage_return(body: bytes) -> None:
    for frame in frames_of([body])[0]:
        assert frame.index(b"\n\n") == len(frame) - 2
        assert frame[:1] != b"\n"
        assert b"\r" not in frame


def test_a_frame_comes_with_the_byte_that_completes_it() -> None:
    for end, waits in ((b"\n\n", 0), (b"\r\r", 0), (b"\r\n\r\n", 1), (b"\n\r\n", 1), (b"\r\n\r", 0)):
        parser = FrameParser(CAP)
        came = [parser.feed(bytes([byte])) for byte in b"data: 1" + end]
        assert came[-1 - waits] == b"data: 1\n\n", end  # the CR ends the line; its LF adds nothing
        assert sum(map(bool, came)) == 1


def test_only_one_leading_bom_is_stripped() -> None:
    assert frames_of([BOM + BOM + b"data: 1\n\n"])[0] == [BOM + b"data: 1\n\n"]


def test_a_line_end_between_two_reads_is_one_line_end() -> None:
    for parts in every_cut(b"a\r\nb\rc\nd\r\r\n\n\re\r"):
        lines = LineEnds()
        assert b"".join(map(lines.feed, parts)) == b"a\nb\nc\nd\n\n\n\ne\n", parts


@pytest.mark.parametrize(("bytes_", "passes"), [(9, True), (10, True), (11, False)])
def test_a_frame_may_have_the_cap_and_not_one_byte_more(bytes_: int, passes: bool) -> None:
    body = b"data: 1\n\n" + b"data: " + b"x" * (bytes_ - 6) + b"\n\ndata: 2\n\n"
    for parts in every_cut(body):
        frames, overflowed, _ = frames_of(parts, cap=10)
        assert overflowed is not passes, parts
        assert len(frames) == (3 if passes else 1), parts


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_neither_line_ends_nor_a_bom_count_towards_the_cap(end: bytes) -> None:
    for parts in every_cut(BOM + end * 3 + FRAME_OF_TEN + end * 3 + FRAME_OF_TEN + end):
        assert frames_of(parts, cap=10) == ([FRAME_OF_TEN + b"\n\n"] * 2, False, 0), parts


@given(cut_at_random(SOUP), st.integers(1, 40))
def test_the_cap_falls_on_the_same_frame_however_the_body_arrives(cut: tuple[bytes, list[bytes]], cap: int) -> None:
    body, parts = cut
    assert frames_of(parts, cap) == frames_of([body], cap)
    assert all(len(frame) <= cap + 2 for frame in frames_of(parts, cap)[0])


@pytest.mark.parametrize("step", [1, 100])
def test_a_frame_that_never_ends_is_given_up_and_takes_no_memory(step: int) -> None:
    parser = FrameParser(1000)
    kept = []
    for _ in range(2000 // step):
        assert parser.feed(b"x" * step) == b""
        kept.append(len(parser._partial))
    assert parser.overflowed
    assert max(kept) <= 1001  # the one byte may be the line end that begins the blank line
    assert kept[-1] == 0
    assert parser.feed(b"\n\ndata: 1\n\n") == b""


@pytest.mark.parametrize("size", [65_536, CAP - 1, CAP])
def test_a_large_frame_arrives_intact(size: int) -> None:
    frame = b"data: " + b"x" * (size - 6) + b"\n\n"
    assert frames_of(pieces(frame, range(0, size, 16_384))) == ([frame], False, 0)
    assert frames_of(pieces(b"data: " + frame, range(0, size, 16_384)))[1] is (size > CAP - 6)


class Counted(bytearray):
    """Counts the bytes that were searched or copied out of it."""

    touched = 0

    def find(self, wanted: bytes, start: int = 0) -> int:  # type: ignore[override]
        Counted.touched += len(self) - start
        return super().find(wanted, start)

    def __bytes__(self) -> bytes:
        Counted.touched += len(self)
        return memoryview(self).tobytes()


@pytest.mark.parametrize(("size", "step"), [(65_536, 1), (CAP, 100)])
def test_a_byte_is_looked_at_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch, size: int, step: int) -> None:
    monkeypatch.setattr(sse, "bytearray", Counted, raising=False)
    monkeypatch.setattr(Counted, "touched", 0)
    body = b"data: " + b"x" * (size - 6) + b"\n\n"
    assert frames_of(pieces(body, range(0, len(body), step)))[0] == [body]
    assert size <= Counted.touched <= 4 * size


@given(SOUP)
def test_data_of_a_frame_is_what_a_client_gets(body: bytes) -> None:
    with_data = [frame for frame in frames_of([body])[0] if read(b":\n\n" + frame).events]
    assert [data_of(frame) for frame in with_data] == [event.data for event in read(body).events]


@pytest.mark.parametrize("name", CORPUS)
def test_data_keeps_all_but_the_one_space_behind_its_colon(name: str) -> None:
    events = read(CORPUS[name]).events
    assert [data_of(frame) for frame in expected(CORPUS[name]) if read(b":\n\n" + frame).events] == [
        e.data for e in events
    ]


def test_a_frame_made_here_is_read_as_it_was_meant() -> None:
    assert data_frame(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert data_frame(b"{}", "error") == b"event: error\ndata: {}\n\n"
