"""How an event stream ends: whole only where the upstream said so, with an error frame otherwise, and its usage."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dialects import ANTHROPIC, MEDIA, OPENAI, RESPONSES, Dialect
from relay.core.errors import IN_STREAM
from relay.core.flow import Ending
from relay.core.scrub import Scrubber
from relay.core.sse_flow import SseFlow
from relay.core.usage import Usage
from tests.core.streams import read

DONE = b"data: [DONE]\n\n"
DELTA = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
COMPLETED = b'event: response.completed\ndata: {"type":"response.completed","response":{"error":null}}\n\n'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("type", "error", "usage")), inner),
    max_leaves=5,
)


def fed(*frames: bytes, dialect: Dialect = OPENAI) -> SseFlow:
    flow = SseFlow(dialect, Scrubber(""), 1_048_576)
    for frame in frames:
        flow.feed(frame)
    return flow


def verdict(*frames: bytes, dialect: Dialect = OPENAI, body_ended: bool = True) -> Ending:
    return fed(*frames, dialect=dialect).verdict(body_ended=body_ended)


def code_of(ending: Ending) -> str:
    """The code in an error frame; the frame must be one event that every client reads as an error."""
    (event,) = read(ending.last).events
    error = json.loads(event.data)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["code"])


@pytest.mark.parametrize(
    ("dialect", "last"),
    [
        (OPENAI, DONE),
        (OPENAI, b"data:[DONE]\n\n"),
        (OPENAI, b"event: done\nid: 4\ndata: [DONE] \n\n"),
        (MEDIA, DONE),
        (ANTHROPIC, STOP),
        (RESPONSES, COMPLETED),
        (RESPONSES, b'data: {"type":"response.failed"}\n\n'),
        (RESPONSES, b'data: {"type":"response.incomplete"}\n\n'),
    ],
)
@pytest.mark.parametrize("body_ended", [True, False])
def test_the_last_word_is_held_back_and_ends_the_stream(dialect: Dialect, last: bytes, body_ended: bool) -> None:
    flow = fed(b"data: 1\n\n", dialect=dialect)
    assert flow.feed(b"data: 2\n\n" + last) == b"data: 2\n\n"
    assert flow.terminal == last
    assert flow.verdict(body_ended=body_ended) == Ending("done", last, whole=True)
    assert flow.frames == 3


@pytest.mark.parametrize("dialect", [OPENAI, MEDIA, ANTHROPIC, RESPONSES])
@pytest.mark.parametrize("text", ["[DONE]", "message_stop", "response.completed", '"error"', '"finish_reason":"stop"'])
def test_no_text_of_a_model_can_end_or_finish_a_stream(dialect: Dialect, text: str) -> None:
    frame = b"data: " + json.dumps({"type": "x", "choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"
    flow = fed(dialect=dialect)
    assert flow.feed(frame) == frame
    assert code_of(flow.verdict(body_ended=True)) == "upstream_incomplete"


def test_nothing_follows_the_last_word_and_the_rest_is_noticed() -> None:
    flow = fed(DELTA)
    assert flow.feed(DONE + DONE + DELTA) == b""
    assert flow.feed(DELTA) == b""
    assert flow.surplus
    assert flow.verdict(body_ended=True).last == DONE


def test_no_surplus_without_a_byte_behind_the_last_word() -> None:
    flow = fed(DELTA, DONE)
    assert not flow.surplus
    flow.feed(b"")  # what a decoder returns for the last chunk alone
    assert not flow.surplus


@pytest.mark.parametrize("rest", [DELTA, b"data: half a fra"])
def test_bytes_behind_the_last_word_are_surplus_in_the_same_read_too(rest: bytes) -> None:
    assert fed(DONE + rest).surplus


def test_a_frame_that_is_too_large_behind_the_last_word_is_surplus_as_well() -> None:
    flow = SseFlow(OPENAI, Scrubber(""), 20)
    flow.feed(DONE + b"x" * 30)
    assert (flow.terminal, flow.surplus, flow.overflowed) == (DONE, True, False)


def test_an_answer_that_finished_without_its_last_word_gets_it_from_us() -> None:
    assert verdict(DELTA, FINISH) == Ending("done", DONE, whole=True)
    assert verdict(DELTA, b'data: {"choices":[{"finish_reason": "length"}]}\n\n') == Ending("done", DONE, whole=True)
    for later in (b'data: {"choices":[],"usage":null}\n\n', b'data: {"choices":[],"error":null}\n\n', DONE[:-1]):
        assert verdict(FINISH, later) == Ending("done", DONE, whole=True)


@pytest.mark.parametrize("kind", ["speech.audio.done", "transcript.text.done", "image_generation.completed"])
def test_a_media_stream_is_whole_after_its_typed_end(kind: str) -> None:
    frame = b'data: {"type":"%s"}\n\n' % kind.encode()
    assert verdict(frame, dialect=MEDIA) == Ending("done", b"", whole=True)
    quoted = b'data: {"type":"transcript.text.delta","delta":"he said %s"}\n\n' % kind.encode()
    assert not verdict(quoted, dialect=MEDIA).whole


@pytest.mark.parametrize("value", [b"null", b'""', b' ""'])
def test_an_empty_finish_reason_finishes_nothing(value: bytes) -> None:
    ending = verdict(b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":%s}]}\n\n' % value)
    assert not ending.whole
    assert code_of(ending) == "upstream_incomplete"


@pytest.mark.parametrize("dialect", [OPENAI, MEDIA, ANTHROPIC, RESPONSES])
@pytest.mark.parametrize("body_ended", [True, False])
def test_an_end_without_a_finish_is_told(dialect: Dialect, body_ended: bool) -> None:
    for frames in ([], [b": c\n\n"], [DELTA], [DELTA, b'data: {"choi']):
        ending = verdict(*frames, dialect=dialect, body_ended=body_ended)
        assert (ending.end, ending.whole) == ("upstream_eof" if body_ended else "truncated", False)
        assert code_of(ending) == "upstream_incomplete"


def test_a_body_that_was_cut_is_not_whole_although_the_answer_had_finished() -> None:
    ending = verdict(DELTA, FINISH, body_ended=False)
    assert (ending.end, ending.whole, code_of(ending)) == ("truncated", False, "upstream_incomplete")


def test_a_last_frame_without_its_blank_line_is_not_delivered() -> None:
    flow = fed(DELTA)
    assert flow.feed(DONE[:-1]) == b""
    assert code_of(flow.verdict(body_ended=True)) == "upstream_incomplete"


@pytest.mark.parametrize(
    ("dialect", "error"),
    [
        (OPENAI, b'data: {"error":{"message":"no","code":500}}\n\n'),
        (OPENAI, b'event: error\ndata: {"error":"no"}\n\n'),
        (ANTHROPIC, b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'),
        (RESPONSES, b'event: error\ndata: {"type":"error","code":"x","message":"no"}\n\n'),
    ],
)
@pytest.mark.parametrize("body_ended", [True, False])
def test_an_upstreams_own_error_passes_and_is_the_last_word(dialect: Dialect, error: bytes, body_ended: bool) -> None:
    flow = fed(DELTA, dialect=dialect)
    assert flow.feed(error) == error
    assert flow.verdict(body_ended=body_ended) == Ending("upstream_eof")


def test_no_last_word_is_made_up_behind_an_error() -> None:
    both = b'data: {"error":{"message":"no"},"choices":[{"finish_reason":"error"}]}\n\n'
    assert not verdict(DELTA, both).whole
    assert verdict(DELTA, both, DONE).whole


@pytest.mark.parametrize("empty", [b"null", b'""', b"{}", b"false"])
def test_an_error_that_sdks_do_not_see_does_not_hide_the_cut(empty: bytes) -> None:
    ending = verdict(b'data: {"choices":[],"error":%s}\n\n' % empty)
    assert code_of(ending) == "upstream_incomplete"


@pytest.mark.parametrize("code", IN_STREAM)
@pytest.mark.parametrize("dialect", [OPENAI, MEDIA, ANTHROPIC, RESPONSES])
def test_a_stream_can_be_broken_for_every_reason(dialect: Dialect, code: str) -> None:
    ending = fed(DELTA, dialect=dialect).broken("reset", code)
    assert (ending.end, ending.whole, code_of(ending)) == ("reset", False, code)


@pytest.mark.parametrize("dialect", [OPENAI, MEDIA, ANTHROPIC, RESPONSES])
@given(value=JSON)
def test_no_legal_json_of_an_upstream_fails_the_relay(dialect: Dialect, value: object) -> None:
    hints = b"\n: message_stop response.completed [DONE]\n\n"
    frame = b"data: " + json.dumps(value).encode() + hints
    fed(frame, frame, dialect=dialect).verdict(body_ended=True)


@pytest.mark.parametrize(
    "data",
    [b'{"error":{"message":"\xff"}}', b'{"type":"\xff","error":1}', b'{"error":' + b"[" * 9_999 + b"]" * 9_999 + b"}"],
    ids=["bytes in an error", "bytes in a type", "deep nesting"],
)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, RESPONSES])
def test_bytes_that_are_no_text_pass_untouched(dialect: Dialect, data: bytes) -> None:
    frame = b"data: " + data + b"\n\n"
    assert fed(dialect=dialect).feed(frame) == frame


def test_deep_nesting_beside_the_usage_passes_untouched() -> None:
    frame = b'data: {"usage":null,"x":' + b"[" * 9_999 + b"]" * 9_999 + b"}\n\n"
    assert fed().feed(frame) == frame


def test_the_usage_is_that_of_the_upstream_and_the_latest_counts() -> None:
    first = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    last = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}}\n\n'
    assert fed(DELTA, first + DELTA + last, DONE).usage == Usage(3, 9)
    assert fed(DELTA, b'data: {"usage":null}\n\n', DONE).usage is None


def test_anthropic_tells_its_usage_in_two_parts() -> None:
    start = b'data: {"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}\n\n'
    delta = b'data: {"type":"message_delta","usage":{"output_tokens":20}}\n\n'
    assert fed(start, delta, STOP, dialect=ANTHROPIC).usage == Usage(7, 20)


def test_the_responses_route_tells_its_usage_in_the_last_word() -> None:
    last = b'data: {"type":"response.completed","response":{"usage":{"input_tokens":7,"output_tokens":20}}}\n\n'
    assert fed(last, dialect=RESPONSES).usage == Usage(7, 20)
