"""Bodies that are no event stream: passed as they are, or wrapped into a stream that was opened before they came."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dialects import ANTHROPIC, OPENAI, RESPONSES, Dialect
from relay.core.flow import Ending
from relay.core.plain_flow import JSON_BYTES_MAX, WRAPPED_BYTES_MAX, PlainFlow, WrappedFlow
from relay.core.scrub import Scrubber
from relay.core.usage import Usage
from tests.core.streams import every_cut, openai_events, pieces, read

KEY = "sk-canary-0123456789"
ANSWER = b'{\n  "id": "a",\r\n  "usage": {"prompt_tokens": 3, "completion_tokens": 4}\n}\n'
DONE = b"data: [DONE]\n\n"


def passed(parts: list[bytes], flow: PlainFlow, *, body_ended: bool = True) -> tuple[bytes, Ending]:
    sent = b"".join(map(flow.feed, parts))
    ending = flow.verdict(body_ended=body_ended)
    return sent + ending.last, ending


def wrapped(*parts: bytes, dialect: Dialect = OPENAI, status: int = 200, body_ended: bool = True) -> Ending:
    flow = WrappedFlow(dialect, Scrubber(KEY), status)
    assert not any(map(flow.feed, parts))
    return flow.verdict(body_ended=body_ended)


def test_json_passes_as_it_came_and_tells_its_usage_at_every_split_point() -> None:
    for parts in every_cut(ANSWER):
        flow = PlainFlow(Scrubber(""), bytearray())
        sent, ending = passed(parts, flow)
        assert (sent, ending.end, ending.whole, flow.usage) == (ANSWER, "done", True, Usage(3, 4)), parts


def test_a_body_of_another_kind_has_no_usage_no_heartbeat_and_no_frames() -> None:
    flow = PlainFlow(Scrubber(""), None)
    assert passed([ANSWER], flow)[0] == ANSWER
    assert (flow.usage, flow.ping, flow.frames, flow.terminal) == (None, b"", 0, b"")
    assert flow.ends_with_its_body


def test_the_key_is_starred_out_of_a_body_at_every_split_point() -> None:
    body = b'{"you sent":"%s","and":"%s"}' % (KEY.encode(), KEY.encode())
    for parts in every_cut(body):
        sent, _ = passed(parts, PlainFlow(Scrubber(KEY), bytearray()))
        assert sent == body.replace(KEY.encode(), b"*" * len(KEY)), parts


def test_a_body_that_ends_like_the_key_begins_is_complete() -> None:
    assert passed([b"...sk-can"], PlainFlow(Scrubber(KEY), None))[0] == b"...sk-can"


def test_a_body_that_was_cut_is_not_whole_and_gets_nothing_added() -> None:
    _, ending = passed([ANSWER[:20]], PlainFlow(Scrubber(""), bytearray()), body_ended=False)
    assert ending == Ending("truncated")
    assert PlainFlow(Scrubber(""), None).broken("reset", "upstream_disconnected") == Ending("reset")


def test_the_usage_of_a_huge_body_stays_unknown_rather_than_the_memory_unbounded() -> None:
    body = b'{"usage":{"prompt_tokens":1},"x":"' + b"x" * JSON_BYTES_MAX + b'"}'
    collected = bytearray()
    flow = PlainFlow(Scrubber(""), collected)
    sent, _ = passed(pieces(body, range(0, len(body), 50_000)), flow)
    assert sent == body
    assert flow.usage is None
    assert len(collected) <= JSON_BYTES_MAX + 50_000


def test_a_json_answer_becomes_one_frame_and_the_last_word() -> None:
    for parts in every_cut(ANSWER):
        ending = wrapped(*parts)
        assert (ending.end, ending.whole) == ("done", True)
        answer, done = openai_events(ending.last)
        assert json.loads(answer.data) == json.loads(ANSWER)
        assert done.data == "[DONE]"


@given(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=4))
def test_any_json_answer_is_one_event_with_the_same_meaning(value: object) -> None:
    for text in (json.dumps(value, indent=1), json.dumps(value, ensure_ascii=False)):
        answer, _ = read(wrapped(text.encode("utf-8", "replace")).last).events
        assert json.loads(answer.data) == value


def test_a_wrapped_answer_is_counted() -> None:
    flow = WrappedFlow(OPENAI, Scrubber(""), 200)
    flow.feed(ANSWER)
    flow.verdict(body_ended=True)
    assert (flow.usage, flow.frames, flow.ping) == (Usage(3, 4), 1, b": ping\n\n")


@pytest.mark.parametrize("body", [b'{"id": "a", "choi', b"", b"<html>busy</html>"])
def test_what_is_not_a_whole_json_text_never_becomes_a_whole_stream(body: bytes) -> None:
    ending = wrapped(body)  # its end was the end of the connection, which a cut looks like too
    assert not ending.whole
    assert "error" in json.loads(read(ending.last).events[0].data)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, RESPONSES], ids=lambda dialect: dialect.name)
def test_an_upstreams_refusal_becomes_an_error_frame_with_its_status(dialect: Dialect) -> None:
    body = b'{"error":{"message":"slow down","type":"rate_limit_error","code":"too_fast","param":null}}'
    ending = wrapped(body, dialect=dialect, status=429)
    assert (ending.end, ending.whole) == ("upstream_eof", False)
    error = json.loads(read(ending.last).events[0].data)["error"]
    assert (error["message"], error["type"], error["code"], error["status"]) == (
        "slow down", "rate_limit_error", "too_fast", 429,
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b"", b"?", b"[]", b'{"error":"x"}', b'{"error":{"message":7}}', b'{"error":0}', b'{"error":{"message":"\xff"}}'],
)
def test_a_refusal_in_any_shape_becomes_an_error_frame(body: bytes) -> None:
    error = json.loads(read(wrapped(body, status=500).last).events[0].data)["error"]
    assert (error["status"], error["code"]) == (500, "upstream_error")
    assert error["message"]


@pytest.mark.parametrize("echo", [KEY, KEY.replace("-", "\\u002d")], ids=["plain", "escaped"])
def test_the_key_is_starred_out_of_a_refusal_however_it_is_escaped(echo: str) -> None:
    last = wrapped(b'{"error":{"message":"wrong key %s"}}' % echo.encode(), status=400).last
    assert json.loads(read(last).events[0].data)["error"]["message"] == "wrong key " + "*" * len(KEY)


def test_the_key_is_starred_out_of_a_wrapped_answer() -> None:
    assert KEY.encode() not in wrapped(b'{"echo":"%s"}' % KEY.encode()).last


def test_a_wrapped_answer_that_is_cut_or_too_large_is_an_error() -> None:
    ending = wrapped(ANSWER, body_ended=False)
    assert (ending.end, ending.whole) == ("truncated", False)
    assert b"upstream_incomplete" in ending.last
    flow = WrappedFlow(OPENAI, Scrubber(""), 200)
    flow.feed(b"x" * WRAPPED_BYTES_MAX)
    assert not flow.overflowed
    flow.feed(b"x")
    assert flow.overflowed
    assert b"frame_too_large" in flow.broken("oversize", "frame_too_large").last
