"""An event stream on its way: the same at every split point, and readable by every SDK."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dialects import ANTHROPIC, OPENAI, RESPONSES, Dialect
from relay.core.flow import Ending, SseFlow
from relay.core.scrub import Scrubber
from relay.core.sse import PING
from tests.core.streams import (
    BOM,
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
LAST = b'data: {"last":true}\n\n'
DIALECTS = pytest.mark.parametrize("dialect", [OPENAI, RESPONSES, ANTHROPIC], ids=lambda dialect: dialect.name)


def flow_for(dialect: Dialect = OPENAI, secret: str = "", cap: int = CAP) -> SseFlow:
    return SseFlow(dialect, Scrubber(secret), cap)


def relayed(flow: SseFlow, parts: list[bytes], *, pings: bool = False) -> tuple[bytes, Ending]:
    """What a caller gets, without and with the end: the same steps as the pump's."""
    sent = b""
    for part in parts:
        sent += flow.feed(part)
        sent += flow.ping if pings else b""
        if flow.overflowed:
            return sent, flow.broken("oversize", "frame_too_large")
        if flow.terminal:
            break
    return sent, flow.verdict(body_ended=True)


def outcome(parts: list[bytes], dialect: Dialect = OPENAI, cap: int = CAP, secret: str = "") -> tuple[object, ...]:
    flow = flow_for(dialect, secret, cap)
    return *relayed(flow, parts), flow.frames, flow.usage, flow.terminal


@DIALECTS
@pytest.mark.parametrize("name", CORPUS)
def test_a_stream_comes_out_the_same_at_every_split_point(name: str, dialect: Dialect) -> None:
    whole = outcome([CORPUS[name]], dialect)
    for parts in every_cut(CORPUS[name]):
        assert outcome(parts, dialect) == whole, parts


@given(cut_at_random(SOUP))
def test_any_lines_in_any_pieces_come_out_as_the_whole_does(body_and_parts: tuple[bytes, list[bytes]]) -> None:
    body, parts = body_and_parts
    assert outcome(parts) == outcome([body])


@given(cut_at_random(SOUP), st.integers(1, 60))
def test_a_frame_that_is_too_large_ends_the_stream_at_the_same_place(cut: tuple[bytes, list[bytes]], cap: int) -> None:
    body, parts = cut
    assert outcome(parts, cap=cap) == outcome([body], cap=cap)


def test_a_stream_that_said_its_last_word_is_not_too_large() -> None:
    flow = flow_for(cap=20)
    sent, ending = relayed(flow, [b"data: [DONE]\n\ndata: " + b"x" * 30])
    assert (sent, ending) == (b"", Ending("done", b"data: [DONE]\n\n", whole=True))


@given(SOUP.filter(lambda body: b"[DONE]" not in body))
def test_a_browser_hears_what_the_upstream_said(body: bytes) -> None:
    sent, _ = relayed(flow_for(), [body + b"\n\n" + LAST])
    assert read(sent) == read(body + b"\n\n" + LAST)


@given(LEGAL)
def test_heartbeats_between_the_frames_change_nothing(body: bytes) -> None:
    parts = [body[at : at + 1] for at in range(len(body))]
    sent, _ = relayed(flow_for(), [*parts, LAST], pings=True)
    assert read(sent) == read(body + LAST)


@pytest.mark.parametrize("decode", [openai_events, httpx_events])
@given(body=LEGAL)
def test_every_event_that_an_sdk_sees_is_legal_json(decode: Decode, body: bytes) -> None:
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    flow = flow_for()
    sent, ending = relayed(flow, parts, pings=True)
    events = decode(sent + ending.last)
    for event in events:
        assert event.data.startswith("[DONE]") or json.loads(event.data), events
    assert len(events) == len(read(body).events) + 1


@given(LEGAL)
def test_a_block_without_data_never_goes_out_but_as_a_comment_before_any_id(body: bytes) -> None:
    sent, _ = relayed(flow_for(), [body])
    seen_id = False
    for lines in blocks(b":\n" + sent):
        names = {line.split(b":")[0] for line in lines}
        seen_id = seen_id or b"id" in names
        assert b"data" in names or (names == {b""} and not seen_id), lines


@pytest.mark.parametrize("name", CORPUS)
def test_the_bytes_of_data_lines_and_comments_are_not_changed(name: str) -> None:
    sent, ending = relayed(flow_for(RESPONSES), [CORPUS[name]])  # nothing here is its last word
    kept = (b"data:", b"event:", b"retry:", b":")
    meant = [line for lines in blocks(CORPUS[name]) for line in lines if line.startswith(kept)]
    if name not in ("event only", "mixed block without data"):
        assert [line for lines in blocks(b":\n" + sent) for line in lines if line.startswith(kept)][1:] == meant


def test_plain_frames_of_one_read_go_out_in_one_piece_and_untouched() -> None:
    body = b'data: {"choices":[]}\n\n' * 50
    flow = flow_for()
    assert flow.feed(body) == body
    assert flow.frames == 50


def test_id_and_retry_of_a_block_without_data_move_into_the_next_one() -> None:
    flow = flow_for()
    assert flow.feed(b"retry: 5000\n\nid: 7\nevent: x\n\n") == b""
    assert flow.feed(b"data: 1\n\ndata: 2\n\n") == b"retry: 5000\nid: 7\ndata: 1\n\ndata: 2\n\n"
    assert flow.frames == 2


@pytest.mark.parametrize("second", [b"id: a\0b", b"retry: soon"])
def test_a_line_that_clients_ignore_does_not_displace_a_good_one(second: bytes) -> None:
    body = b"id: 1\nretry: 20\n\n" + second + b"\n\n" + LAST
    sent, _ = relayed(flow_for(), [body])
    assert read(sent) == read(body)


@pytest.mark.parametrize("before", [BOM, b"event: ping\n\n", BOM + b"\n\n"])
def test_a_second_bom_does_not_become_a_leading_one(before: bytes) -> None:
    body = before + BOM + b'data: {"not":"said"}\ndata: {"said":1}\n\n'
    sent, _ = relayed(flow_for(), [body])
    assert read(sent).events[0].data == b'{"said":1}'


def test_the_heartbeat_is_a_whole_comment_until_an_id_was_seen() -> None:
    flow = flow_for()
    flow.feed(b"data: 1\nidle: not an id\n\n")
    assert flow.ping == PING == b": ping\n\n"
    flow.feed(b"data: 1\nid: 1\n\n")
    assert flow.ping == b": ping\n"


@pytest.mark.parametrize("block", [b"id: 1\n\n", b"id\n\n", b"id:1\ndata: 1\n\n", b": c\nid: 1\n\n"])
def test_an_id_is_seen_wherever_it_stands(block: bytes) -> None:
    flow = flow_for()
    flow.feed(block)
    assert flow.ping == b": ping\n"
    assert flow.feed(b": c\n\n") == b": c\n"


def test_the_upstreams_key_is_starred_out_in_every_kind_of_line() -> None:
    key = b"sk-canary-0123456789"
    body = b'data: KEY\n\n: KEY\n\nid: KEY\n\nevent: KEY\ndata: 1\n\nretry: 1\ndata: {"error":"KEY"}\n\n'
    for parts in every_cut(body.replace(b"KEY", key)):
        sent, _ = relayed(flow_for(secret=key.decode()), parts)
        assert b"canary" not in sent, parts
        assert sent.count(b"*" * len(key)) == 5
