"""The right answers of every route: their shapes, their frames, their order."""

import base64
import json
import struct

import pytest

from relay.demo.answers import answer
from relay.demo.wire import Refused, Request
from tests.demo.scripts import CHAT, Played, ask, play, stream

GENERATING = [CHAT, "/v1/completions", "/v1/responses", "/v1/messages"]


def body_of(played: Played) -> dict:
    assert f"Content-Length: {len(played.body)}" in played.head
    return json.loads(played.body)


def call(method: str, path: str, body: bytes = b"") -> Played:
    return play(answer(Request(method, path, {}, body), serial=1, created=1))


@pytest.mark.parametrize("path", GENERATING)
def test_each_frame_is_its_own_chunk_and_its_own_send(path: str) -> None:
    head, *frames = stream("mock-n4", path).sends
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"text/event-stream" in head
    assert frames[-1].endswith(b"\n\n\r\n0\r\n\r\n")
    assert all(frame.count(b"data: ") == 1 for frame in frames)


@pytest.mark.parametrize("path", GENERATING)
def test_a_stream_waits_before_its_head_and_between_its_words(path: str) -> None:
    assert stream("mock-n3-i5000-d70000", path).pauses == [0.07, 0, 0.005, 0.005]


@pytest.mark.parametrize("path", GENERATING)
def test_an_answer_at_once_takes_the_time_of_its_stream(path: str) -> None:
    assert ask("mock-n3-i5000-d70000", path).pauses == stream("mock-n3-i5000-d70000", path).pauses


def test_a_chat_stream_has_a_role_words_a_finish_and_done() -> None:
    played = stream("demo")
    choices = [event["choices"][0] for event in played.events]
    assert choices[0]["delta"]["role"] == "assistant"
    assert "".join(choice["delta"].get("content", "") for choice in choices).startswith("Hello!")
    assert [choice["finish_reason"] for choice in choices[-2:]] == [None, "stop"]
    assert played.body.endswith(b"data: [DONE]\n\n")


def test_a_chat_stream_without_the_option_has_no_usage() -> None:
    assert b"usage" not in stream("mock-n3").body


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_asked_for_usage_comes_last_and_without_choices(path: str) -> None:
    played = stream("mock-n3", path, prompt="two words", stream_options={"include_usage": True})
    *before, last = played.events
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert all(event["usage"] is None for event in before)


def test_a_chat_answer_has_its_text_and_usage() -> None:
    answered = body_of(ask("mock-n2-s3"))
    assert answered["object"] == "chat.completion"
    assert answered["choices"][0]["message"]["content"].count(":xxx") == 2
    assert answered["usage"]["completion_tokens"] == 2


def test_a_completion_has_plain_text() -> None:
    assert body_of(ask("demo", "/v1/completions"))["choices"][0]["text"].startswith("Hello!")
    texts = [event["choices"][0]["text"] for event in stream("demo", "/v1/completions").events]
    assert "".join(texts) == body_of(ask("demo", "/v1/completions"))["choices"][0]["text"]


def test_the_responses_events_come_in_the_official_order_and_numbered() -> None:
    events = stream("mock-n2", "/v1/responses").events
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    assert events[-1]["response"]["usage"]["output_tokens"] == 2
    assert events[6]["text"] == events[4]["delta"] + events[5]["delta"]


def test_the_messages_events_come_in_the_official_order_under_their_names() -> None:
    played = stream("mock-n1", "/v1/messages")
    names = [line[7:] for line in played.body.decode().splitlines() if line.startswith("event: ")]
    assert names == [event["type"] for event in played.events]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_a_message_has_its_text_and_usage() -> None:
    answered = body_of(ask("mock-n2", "/v1/messages", messages=[{"content": "one two three"}]))
    assert answered["usage"] == {"input_tokens": 3, "output_tokens": 2}
    assert (answered["type"], answered["stop_reason"]) == ("message", "end_turn")


@pytest.mark.parametrize(
    ("path", "limit", "said"),
    [
        (CHAT, {"max_tokens": 3}, '"finish_reason":"length"'),
        (CHAT, {"max_completion_tokens": 3, "max_tokens": 9}, '"finish_reason":"length"'),
        ("/v1/completions", {"max_tokens": 3}, '"finish_reason":"length"'),
        ("/v1/messages", {"max_tokens": 3}, '"stop_reason":"max_tokens"'),
        ("/v1/responses", {"max_output_tokens": 3}, '"incomplete_details":{"reason":"max_output_tokens"}'),
    ],
)
def test_a_token_limit_counts_words_and_is_named_as_the_reason(path: str, limit: dict, said: str) -> None:
    for played in (ask("demo", path, **limit), stream("demo", path, **limit)):
        assert said in played.body.decode()
        assert b"am " in played.body and b"the " not in played.body


@pytest.mark.parametrize("limit", [0, -1, True, "3", 1.5, None, 10_000])
def test_a_limit_that_limits_nothing_is_ignored(limit: object) -> None:
    assert b'"finish_reason":"stop"' in stream("mock-n2", max_tokens=limit).body


def test_embeddings_are_the_same_for_the_same_text_and_of_length_one() -> None:
    data = body_of(ask("demo", "/v1/embeddings", input=["a", "b", "a"]))["data"]
    first, second, third = (item["embedding"] for item in data)
    assert first == third != second
    assert sum(number**2 for number in first) == pytest.approx(1)
    assert [item["index"] for item in data] == [0, 1, 2]


def test_embeddings_in_base64_are_the_same_numbers() -> None:
    floats = body_of(ask("demo", "/v1/embeddings", input="a", dimensions=3))["data"][0]["embedding"]
    packed = body_of(ask("demo", "/v1/embeddings", input="a", dimensions=3, encoding_format="base64"))
    assert struct.unpack("<3f", base64.b64decode(packed["data"][0]["embedding"])) == pytest.approx(floats)


def test_a_list_of_tokens_is_one_input() -> None:
    assert len(body_of(ask("demo", "/v1/embeddings", input=[1, 2, 3]))["data"]) == 1
    assert len(body_of(ask("demo", "/v1/embeddings", input=[[1, 2], [3]]))["data"]) == 2


@pytest.mark.parametrize("given", [None, 5, [[["deep"]]], [True], ["a"] * 129])
def test_another_kind_of_input_is_refused(given: object) -> None:
    with pytest.raises(Refused, match="input"):
        ask("demo", "/v1/embeddings", input=given)


def test_the_models_are_listed() -> None:
    listed = body_of(call("GET", "/v1/models"))
    assert [model["id"] for model in listed["data"]] == ["demo", "demo-slow"]


def test_an_unknown_path_is_404_and_another_method_405() -> None:
    assert call("POST", "/v2/else").head.startswith("HTTP/1.1 404 ")
    refused = call("GET", CHAT)
    assert refused.head.startswith("HTTP/1.1 405 ") and "Allow: POST" in refused.head


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"model":""}', b'{"model":5}', b"\xff", b"[" * 100_000, b"9" * 5_000]
)
def test_a_body_that_is_no_order_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        call("POST", CHAT, body)
    assert refusal.value.status == 400


def test_a_lone_surrogate_and_a_deep_prompt_do_no_harm() -> None:
    body = b'{"model":"mock-\\ud800","max_tokens":1,"messages":' + b"[" * 500 + b"]" * 500 + b"}"
    assert call("POST", CHAT, body).head.startswith("HTTP/1.1 200 ")
