"""An event stream on its way: the same at every split point, and readable by every SDK. How it ends: test_flow.py."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dialects import ANTHROPIC, OPENAI, RESPONSES, Dialect
from relay.core.flow import Ending
from relay.core.scrub import Scrubber
from relay.core.sse import PING
from relay.core.sse_flow import SseFlow
from relay.core.usage import Usage, is_usage_only
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
    sent, _ = relayed(flow_for(RESPONSES), [CORPUS[name]])  # nothing here is its last word
    if name not in ("event only", "mixed block without data"):
        assert kept_lines(b": lead\n" + sent)[1:] == kept_lines(CORPUS[name])


def kept_lines(body: bytes) -> list[bytes]:
    lines = [
        line for lines in blocks(body) for line in lines if line.startswith((b"data:", b"event:", b"retry:", b":"))
    ]
    return [line for line in lines if line[1:4] != BOM]  # how a second BOM is made harmless


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


@pytest.mark.parametrize("second", [b"id: a\0b", b"retry: soon", b"retry:  7", b"retry: 7 "])
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


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'


def test_a_frame_for_the_relay_alone_is_counted_and_not_shown_at_every_split_point() -> None:
    body = LAST + USAGE + b"data: [DONE]\n\n"
    for parts in every_cut(body):
        flow = SseFlow(OPENAI, Scrubber(""), CAP, is_usage_only)
        sent, ending = relayed(flow, parts)
        assert (sent, ending.last, flow.frames, flow.usage) == (LAST, b"data: [DONE]\n\n", 2, Usage(3, 4)), parts


@pytest.mark.parametrize("hidden", [b"id: 7\nretry: 5\n\n" + USAGE, b"id: 7\nretry: 5\n" + USAGE])
def test_a_frame_that_is_not_shown_takes_no_id_and_no_retry_with_it(hidden: bytes) -> None:
    sent, _ = relayed(SseFlow(OPENAI, Scrubber(""), CAP, is_usage_only), [hidden + LAST])
    heard = read(sent)
    assert (heard.events[0].last_id, heard.retry) == (b"7", 5)
