"""A stream that is kept: numbered without a gap at every split point, in a form that every client reads, ended once."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dialects import ANTHROPIC, OPENAI, RESPONSES, Dialect
from relay.core.flow import Ending
from relay.core.numbered_flow import COMMENT_BYTES_MAX, NumberedFlow, numbered_error
from relay.core.scrub import Scrubber
from relay.core.usage import Usage, is_usage_only
from tests.core.streams import (
    CORPUS,
    LEGAL,
    SOUP,
    Decode,
    blocks,
    cut_at_random,
    every_cut,
    httpx_events,
    openai_events,
    read,
)

CAP = 1_048_576
STREAM = "rs_0123456789012345678901"
LAST = b'data: {"last":true}\n\n'
DONE = b"data: [DONE]\n\n"
FINISH = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
DIALECTS = pytest.mark.parametrize("dialect", [OPENAI, RESPONSES, ANTHROPIC], ids=lambda dialect: dialect.name)
FRAME = re.compile(rb"id: %b:([0-9]+)\n((?:.|\n)*?)\n\n" % STREAM.encode())


def flow_for(dialect: Dialect = OPENAI, secret: str = "", cap: int = CAP) -> NumberedFlow:
    return NumberedFlow(STREAM, dialect, Scrubber(secret), cap)


def numbered(seq: int, lines: bytes) -> bytes:
    return b"id: %b:%d\n%b" % (STREAM.encode(), seq, lines)


def relayed(flow: NumberedFlow, parts: list[bytes]) -> tuple[bytes, Ending]:
    """What goes into the log, without and with the end: the same steps as the pump's."""
    sent = b""
    for part in parts:
        sent += flow.feed(part)
        if flow.overflowed:
            return sent, flow.broken("oversize", "frame_too_large")
        if flow.terminal:
            break
    return sent, flow.verdict(body_ended=True)


def outcome(parts: list[bytes], dialect: Dialect = OPENAI, cap: int = CAP) -> tuple[object, ...]:
    flow = flow_for(dialect, cap=cap)
    return *relayed(flow, parts), flow.frames, flow.usage, flow.last_seq


def assert_numbered(log: bytes) -> int:
    """Nothing but whole frames of ours, gapless from 1, each with data and one id; return how many."""
    numbers = [int(seq) for seq, _ in FRAME.findall(log)]
    assert FRAME.sub(b"", log) == b""
    assert numbers == [*range(1, len(numbers) + 1)]
    for lines in blocks(log):
        assert any(line == b"data" or line.startswith(b"data:") for line in lines), lines
        assert [line.partition(b":")[0] for line in lines].count(b"id") == 1, lines
    return len(numbers)


@DIALECTS
@pytest.mark.parametrize("name", CORPUS)
def test_it_is_numbered_the_same_at_every_split_point(name: str, dialect: Dialect) -> None:
    whole = outcome([CORPUS[name]], dialect)
    for parts in every_cut(CORPUS[name]):
        flow = flow_for(dialect)
        sent, ending = relayed(flow, parts)
        assert assert_numbered(sent + ending.last) == flow.last_seq, parts
        assert (sent, ending, flow.frames, flow.usage, flow.last_seq) == whole, parts


@given(cut_at_random(SOUP), st.integers(1, 60) | st.just(CAP))
def test_any_lines_in_any_pieces_are_numbered_as_the_whole_is(cut: tuple[bytes, list[bytes]], cap: int) -> None:
    body, parts = cut
    assert outcome(parts, cap=cap) == outcome([body], cap=cap)
    sent, ending = relayed(flow_for(cap=cap), parts)
    assert_numbered(sent + ending.last)


@given(SOUP.filter(lambda body: b"[DONE]" not in body))
def test_a_browser_hears_what_the_upstream_said_under_our_ids(body: bytes) -> None:
    sent, _ = relayed(flow_for(), [body + b"\n\n" + LAST])
    heard, said = read(sent), read(body + b"\n\n" + LAST)
    ids = [f"{STREAM}:{seq}".encode() for seq in range(1, len(said.events) + 1)]
    assert heard.events == [replace(event, last_id=id_) for event, id_ in zip(said.events, ids, strict=True)]
    assert heard.retry == said.retry


@pytest.mark.parametrize("decode", [openai_events, httpx_events])
@given(body=LEGAL)
def test_every_event_that_an_sdk_sees_is_legal_json(decode: Decode, body: bytes) -> None:
    flow = flow_for()
    sent, ending = relayed(flow, [body[at : at + 7] for at in range(0, len(body), 7)])
    with_heartbeats = b": ping\n" + (sent + ending.last).replace(b"\n\n", b"\n\n: ping\n")
    events = decode(with_heartbeats)
    for event in events:
        assert event.data.startswith("[DONE]") or json.loads(event.data), events
    assert len(events) == flow.last_seq == len(read(body).events) + 1


@given(LEGAL)
def test_each_frame_can_be_the_first_that_a_client_gets(body: bytes) -> None:
    """What a reader resumes with is a part of the log that begins behind any frame."""
    sent, ending = relayed(flow_for(), [body])
    frames = (sent + ending.last).split(b"\n\n")[:-1]
    for after in range(len(frames)):
        rest = b"".join(frame + b"\n\n" for frame in frames[after:])
        assert read(rest).events == read(sent + ending.last).events[after:]


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in ("event only", "mixed block without data")])
def test_the_bytes_of_data_lines_are_not_changed(name: str) -> None:
    body = CORPUS[name] + b"\n\n" + LAST
    sent, _ = relayed(flow_for(RESPONSES), [body])  # nothing here is its last word
    assert kept_lines(sent) == kept_lines(body)


def kept_lines(body: bytes) -> list[bytes]:
    return [line for lines in blocks(body) for line in lines if line.startswith((b"data:", b"event:"))]


def test_comments_travel_with_the_frame_behind_them() -> None:
    flow = flow_for()
    assert flow.feed(b": one\n\n") == b""
    assert flow.feed(b": two\n\n: three\ndata: 1\n\n: four\n\n") == numbered(1, b": one\n: two\n: three\ndata: 1\n\n")
    assert flow.feed(b"data: 2\n\n") == numbered(2, b": four\ndata: 2\n\n")


def test_an_upstream_that_sends_nothing_but_comments_fills_no_memory() -> None:
    flow = flow_for()
    for _ in range(10 * COMMENT_BYTES_MAX // 100):
        assert flow.feed(b":" + b"x" * 97 + b"\n\n") == b""
    assert len(flow.feed(LAST)) <= COMMENT_BYTES_MAX + len(numbered(1, LAST))


@pytest.mark.parametrize("line", [b"id: 7", b"id:7", b"id", b"id:", b"id: a\0b", b"id: " + STREAM.encode() + b":9"])
@pytest.mark.parametrize("place", ["LINE\ndata: 1\n\n", "data: 1\nLINE\n\n", "LINE\n\ndata: 1\n\n"])
def test_an_upstreams_id_is_taken_out_wherever_it_stands(line: bytes, place: str) -> None:
    assert flow_for().feed(place.encode().replace(b"LINE", line)) == numbered(1, b"data: 1\n\n")


def test_a_line_that_only_looks_like_an_id_stays() -> None:
    assert flow_for().feed(b"data: 1\nidle: x\nids\n\n") == numbered(1, b"data: 1\nidle: x\nids\n\n")


def test_retry_moves_into_the_next_frame() -> None:
    assert flow_for().feed(b"retry: 5\n\ndata: 1\n\n") == numbered(1, b"retry: 5\ndata: 1\n\n")


def test_heartbeats_are_each_followers_own() -> None:
    assert flow_for().ping == b""


@pytest.mark.parametrize(
    ("frames", "last", "whole"),
    [
        ([LAST, DONE], DONE, True),
        ([LAST, FINISH], DONE, True),
        ([LAST], b"upstream_incomplete", False),
        ([LAST, b'data: {"error":{"message":"no"}}\n\n'], b"", False),
    ],
    ids=["terminal", "closing", "error", "the upstream's own error"],
)
def test_the_last_frame_is_numbered_once_however_often_the_end_is_asked_for(
    frames: list[bytes], last: bytes, whole: bool
) -> None:
    flow = flow_for()
    sent = b"".join(map(flow.feed, frames))
    endings = [
        flow.verdict(body_ended=True),
        flow.broken("deadline", "deadline_exceeded"),
        flow.verdict(body_ended=False),
    ]
    assert endings[0] == endings[1] == endings[2]
    assert (endings[0].whole, last in endings[0].last) == (whole, True)
    assert assert_numbered(sent + endings[0].last) == flow.last_seq


def test_an_end_while_frames_flow_takes_the_next_number() -> None:
    flow = flow_for()
    sent = flow.feed(LAST + LAST + b": held\n\ndata: not complete")
    ending = flow.broken("cancelled", "cancelled")
    assert (ending.end, ending.code, ending.whole) == ("cancelled", "cancelled", False)
    assert assert_numbered(sent + ending.last) == flow.last_seq == 3


def test_an_end_told_for_a_stream_that_no_flow_makes_looks_the_same() -> None:
    flow = flow_for()
    flow.feed(LAST)
    assert numbered_error(STREAM, 2, OPENAI, "relay_draining") == flow.broken("drained", "relay_draining").last


@pytest.mark.parametrize("dialect", [RESPONSES, ANTHROPIC], ids=lambda dialect: dialect.name)
def test_an_error_is_numbered_in_each_dialect(dialect: Dialect) -> None:
    ending = flow_for(dialect).broken("drained", "relay_draining")
    assert ending.last == numbered_error(STREAM, 1, dialect, "relay_draining")
    assert ending.last.startswith(numbered(1, b"event: error\ndata: {"))


USAGE = b'id: 3\ndata: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'


def test_a_frame_for_the_relay_alone_takes_no_number() -> None:
    for parts in every_cut(LAST + USAGE + DONE):
        flow = NumberedFlow(STREAM, OPENAI, Scrubber(""), CAP, is_usage_only)
        sent, ending = relayed(flow, parts)
        assert (sent + ending.last, flow.usage) == (numbered(1, LAST) + numbered(2, DONE), Usage(3, 4)), parts


def test_the_upstreams_key_is_starred_out() -> None:
    key = b"sk-canary-0123456789"
    for parts in every_cut(b": KEY\n\nevent: KEY\ndata: KEY\n\n".replace(b"KEY", key)):
        sent, _ = relayed(flow_for(secret=key.decode()), parts)
        assert (b"canary" in sent, sent.count(b"*" * len(key))) == (False, 3), parts
