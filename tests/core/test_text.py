"""An answer's text: whatever route it is of, streamed or not, and nothing where there is none."""

import json

import pytest

from relay.core.text import text_in, text_of


def data(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(text: object) -> bytes:
    return data({"choices": [{"delta": {"content": text}}, {"delta": {"content": "other"}}]})


STREAMS = {
    "chat": chunk("Grüß ") + chunk(None) + chunk("Gott") + data({"choices": []}) + b"data: [DONE]\n\n",
    "completions": data({"choices": [{"text": "Grüß "}]}) + data({"choices": [{"text": "Gott"}]}),
    "responses": data({"type": "response.created", "response": {}})
    + data({"type": "response.output_text.delta", "delta": "Grüß "})
    + data({"type": "response.reasoning_text.delta", "delta": "hm"})
    + data({"type": "response.output_text.delta", "delta": "Gott"}),
    "messages": data({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Grüß "}})
    + data({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}})
    + data({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Gott"}}),
    "numbered": b'id: rs_1:1\nevent: a\ndata: {"choices":\ndata: [{"delta":{"content":"Gr\\u00fc\\u00df Gott"}}]}\n\n',
}
WHOLE: dict[str, object] = {
    "chat": {"choices": [{"message": {"content": "Grüß Gott"}}]},
    "completions": {"choices": [{"text": "Grüß Gott"}]},
    "messages": {
        "content": [{"type": "text", "text": "Grüß "}, {"type": "tool_use"}, {"type": "text", "text": "Gott"}]
    },
    "responses": {
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "Grüß "}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Gott"}, {"type": "refusal"}]},
        ]
    },
}
WITHOUT = [
    b"", b"null", b"[]", b"17", b"{", b"\xff", b'{"choices":{}}', b'{"choices":[]}', b'{"choices":[7]}',
    b'{"choices":[{"delta":{"content":7}}]}', b'{"choices":[{"text":[]}]}', b'{"content":"x"}', b'{"content":[3]}',
    b'{"type":"response.output_text.delta","delta":{}}', b'{"type":"content_block_delta","delta":"x"}',
    b'{"type":"content_block_delta","delta":{"text":1}}', b'{"type":7,"delta":"x"}',
    b'{"output":"x"}', b'{"output":[7]}', b'{"output":[{"content":7}]}',
]  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_the_text_of_a_stream_is_that_of_its_deltas(name: str) -> None:
    assert text_of(STREAMS[name], is_stream=True) == "Grüß Gott"


@pytest.mark.parametrize("name", WHOLE)
def test_the_text_of_a_whole_answer(name: str) -> None:
    assert text_of(json.dumps(WHOLE[name]).encode(), is_stream=False) == "Grüß Gott"


@pytest.mark.parametrize("body", WITHOUT)
def test_where_there_is_no_text_there_is_none(body: bytes) -> None:
    assert text_in(body) == ""


def test_a_frame_that_is_not_complete_says_nothing() -> None:
    assert text_of(chunk("a") + chunk("b")[:-1], is_stream=True) == "a"


def test_a_member_of_another_type_hides_no_other() -> None:
    assert text_in(b'{"delta":7,"content":"x","choices":[{"delta":{"content":"a"},"text":3}]}') == "a"


def test_of_several_choices_it_is_the_first() -> None:
    assert text_in(b'{"choices":[{"text":"a"},{"text":"b"}]}') == "a"
