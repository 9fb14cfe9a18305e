"""What one frame means, and that each dialect's own SDK raises on the error frame that is told in it."""

import json

import pytest
from anthropic._streaming import SSEDecoder as AnthropicDecoder
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dialects import ANTHROPIC, DONE, MEDIA, OPENAI, RESPONSES, Dialect, Meaning
from tests.core.streams import openai_events, read

ALL = (OPENAI, MEDIA, RESPONSES, ANTHROPIC)
ALL_DIALECTS = pytest.mark.parametrize("dialect", ALL)


def frame(data: bytes, event: bytes = b"") -> bytes:
    return (b"event: " + event + b"\n" if event else b"") + b"data: " + data + b"\n\n"


@pytest.mark.parametrize(
    ("dialect", "data", "meaning"),
    [
        (OPENAI, b"[DONE]", Meaning.TERMINAL),
        (OPENAI, b" [DONE] ", Meaning.TERMINAL),
        (OPENAI, b"[DONE] not", Meaning.MORE),
        (OPENAI, b'"[DONE]"', Meaning.MORE),
        (OPENAI, b'["[DONE]"]', Meaning.MORE),
        (OPENAI, b'{"type":"message_stop"}', Meaning.MORE),
        (OPENAI, b'{"error":{"message":"no"}}', Meaning.ERROR),
        (OPENAI, b'{"choices":[],"error":null}', Meaning.MORE),
        (OPENAI, b'{"type":"error","message":"no SDK raises on this here"}', Meaning.MORE),
        (MEDIA, b"[DONE]", Meaning.TERMINAL),
        (MEDIA, b'{"type":"error","error":{"message":"no"}}', Meaning.ERROR),
        (RESPONSES, b"[DONE]", Meaning.MORE),
        (RESPONSES, b'{"type":"response.completed"}', Meaning.TERMINAL),
        (RESPONSES, b'{"type":"response.failed","response":{"error":{}}}', Meaning.TERMINAL),
        (RESPONSES, b'{"type":"response.incomplete"}', Meaning.TERMINAL),
        (RESPONSES, b'{"type":"response.created","response":{"error":null}}', Meaning.MORE),
        (RESPONSES, b'{"type":"error","code":"x","message":"no"}', Meaning.ERROR),
        (ANTHROPIC, b'{"type":"message_stop"}', Meaning.TERMINAL),
        (ANTHROPIC, b'{"type":"error","error":{"type":"overloaded_error"}}', Meaning.ERROR),
        (ANTHROPIC, b'{"type":"content_block_delta","delta":{"text":"message_stop"}}', Meaning.MORE),
        (ANTHROPIC, b"not json, message_stop", Meaning.MORE),
    ],
)
def test_a_frame_means_what_its_api_says(dialect: Dialect, data: bytes, meaning: Meaning) -> None:
    assert dialect.meaning(frame(data)) is meaning
    assert dialect.meaning(frame(data, b"message_stop")) is meaning  # the event's name alone decides nothing
    if meaning is not Meaning.MORE:
        assert any(hint in frame(data) for hint in dialect.hints)


@pytest.mark.parametrize("type_", [b"[]", b"{}", b"1", b"null", b"true"])
@ALL_DIALECTS
def test_a_type_of_any_kind_is_no_reason_to_fail(dialect: Dialect, type_: bytes) -> None:
    assert dialect.meaning(frame(b'{"type":%s,"error":null}' % type_)) is Meaning.MORE


@ALL_DIALECTS
@given(data=st.binary(max_size=40) | st.text(max_size=20).map(lambda text: json.dumps({"error": text}).encode()))
def test_no_bytes_fail_the_reading(dialect: Dialect, data: bytes) -> None:
    assert dialect.meaning(frame(data.replace(b"\n", b""))) in Meaning


CHOICES = '{"choices":[{%s}]}'


@pytest.mark.parametrize("text", [CHOICES % '"finish_reason": "stop"', CHOICES % '"finish_reason":"length"'])
def test_a_finish_reason_shows_that_the_answer_was_finished(text: str) -> None:
    assert OPENAI.meaning(frame(text.encode())) is Meaning.FINISH
    assert OPENAI.meaning(frame(json.dumps({"content": text}).encode())) is Meaning.MORE


@ALL_DIALECTS
def test_what_is_added_to_a_finished_answer_is_the_routes_own_last_word(dialect: Dialect) -> None:
    assert dialect.closing in (b"", DONE)
    assert (dialect.closing == DONE) is (dialect is OPENAI)


@ALL_DIALECTS
def test_an_error_frame_is_one_that_openai_python_raises_on(dialect: Dialect) -> None:
    message = 'The key was "revoked".\r\n\u2028'
    (event,) = openai_events(dialect.error_frame("key_revoked", message, "stream_error"))
    error = json.loads(event.data)["error"]  # the member on which it raises APIError, with code and type
    assert error == {"message": message, "type": "stream_error", "param": None, "code": "key_revoked"}


def test_an_anthropic_error_frame_is_one_that_anthropic_python_raises_on() -> None:
    (event,) = AnthropicDecoder().iter_bytes(iter([ANTHROPIC.error_frame("cancelled", "m", "stream_error")]))
    assert event.event == "error"
    assert event.json()["type"] == "error"


def test_an_error_on_the_responses_route_is_the_typed_event_too() -> None:
    (event,) = read(RESPONSES.error_frame("cancelled", "m", "t")).events
    assert event.type == b"error"
    fields = json.loads(event.data)
    assert fields.pop("error") == {"message": "m", "type": "t", "param": None, "code": "cancelled"}
    assert fields == {"type": "error", "code": "cancelled", "message": "m", "param": None}


@ALL_DIALECTS
def test_an_error_frame_tells_the_status_where_one_is_known(dialect: Dialect) -> None:
    for status in (None, 504):
        (event,) = read(dialect.error_frame("upstream_timeout", "m", "t", status)).events
        assert json.loads(event.data)["error"].get("status") == status


@ALL_DIALECTS
def test_an_error_frame_counts_as_an_error_and_never_as_a_last_word(dialect: Dialect) -> None:
    told = dialect.error_frame("cancelled", "[DONE] message_stop response.completed", "t")
    assert any(hint in told for hint in dialect.hints)
    assert dialect.meaning(told) is Meaning.ERROR


@pytest.mark.parametrize(
    ("body", "code", "message", "type_"),
    [
        (b'{"error":{"message":"m","type":"t","code":"c"}}', "c", "m", "t"),
        (b'{"error":{"message":"m","type":"t","code":429}}', "upstream_error", "m", "t"),
        (b'{"type":"error","error":{"type":"overloaded","message":"m"}}', "upstream_error", "m", "overloaded"),
        (b'{"error":{"message":"m","type":null,"code":null}}', "upstream_error", "m", "upstream_error"),
        (b"busy", "upstream_error", "The upstream refused the request.", "upstream_error"),
    ],
)
@ALL_DIALECTS
def test_an_upstreams_error_is_told_in_its_own_words(
    dialect: Dialect, body: bytes, code: str, message: str, type_: str
) -> None:
    (event,) = read(dialect.wrapped_error(body, 503)).events
    assert json.loads(event.data)["error"] == {
        "message": message, "type": type_, "param": None, "code": code, "status": 503,
    }  # fmt: skip
