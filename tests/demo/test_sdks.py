"""The official Python clients, straight against the demo upstream."""

from collections.abc import Callable, Iterator

import anthropic
import openai
import pytest

from relay.demo.models import ANSWER
from relay.demo.server import DemoUpstream

ASKED = [{"role": "user", "content": "What is a relay?"}]


@pytest.fixture
def client(upstream: DemoUpstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="none", base_url=upstream.base_url, max_retries=0, timeout=5) as opened:
        yield opened


@pytest.fixture
def claude(upstream: DemoUpstream) -> Iterator[anthropic.Anthropic]:
    base_url = upstream.base_url.removesuffix("/v1")
    with anthropic.Anthropic(api_key="none", base_url=base_url, max_retries=0, timeout=5) as opened:
        yield opened


def test_openai_streams_a_chat(client: openai.OpenAI, in_a_thread: Callable) -> None:
    def chat() -> list:
        options = {"include_usage": True}
        return list(client.chat.completions.create(model="demo", messages=ASKED, stream=True, stream_options=options))

    *chunks, last = in_a_thread(chat)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage.completion_tokens == len(ANSWER.split())


def test_openai_reads_a_chat_at_once(client: openai.OpenAI, in_a_thread: Callable) -> None:
    def chat() -> object:
        return client.chat.completions.create(model="mock-n4", messages=ASKED, max_tokens=2)

    answer = in_a_thread(chat)
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 2)


def test_openai_accumulates_a_response(client: openai.OpenAI, in_a_thread: Callable) -> None:
    def respond() -> object:
        with client.responses.stream(model="mock-n3", input="Hi there") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            return text, stream.get_final_response()

    text, response = in_a_thread(respond)
    assert response.output_text == text
    assert (response.status, response.usage.input_tokens, response.usage.output_tokens) == ("completed", 2, 3)


def test_openai_reads_a_response_at_once(client: openai.OpenAI, in_a_thread: Callable) -> None:
    def respond() -> object:
        return client.responses.create(model="mock-n3", input="Hi", max_output_tokens=1)

    response = in_a_thread(respond)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_openai_streams_a_completion(client: openai.OpenAI, in_a_thread: Callable) -> None:
    def complete() -> list:
        return list(client.completions.create(model="mock-n2", prompt="Hi", stream=True))

    assert in_a_thread(complete)[-1].choices[0].finish_reason == "stop"


def test_openai_reads_embeddings_and_models(client: openai.OpenAI, in_a_thread: Callable) -> None:
    embedded = in_a_thread(lambda: client.embeddings.create(model="demo", input=["a", "b"], dimensions=8))
    assert [len(item.embedding) for item in embedded.data] == [8, 8]
    listed = in_a_thread(lambda: list(client.models.list()))
    assert [model.id for model in listed] == ["demo", "demo-slow"]


def test_openai_raises_what_the_upstream_said(client: openai.OpenAI, in_a_thread: Callable) -> None:
    def chat(model: str, stream: bool) -> object:
        return list(client.chat.completions.create(model=model, messages=ASKED, stream=stream))

    with pytest.raises(openai.RateLimitError) as limited:
        in_a_thread(chat, ("fault-429", True))
    assert limited.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.AuthenticationError):
        in_a_thread(chat, ("fault-401", False))
    with pytest.raises(openai.APIError, match="failed while it answered"):
        in_a_thread(chat, ("fault-error-frame", True))


def test_openai_that_stops_reading_stops_the_generation(client, upstream, in_a_thread, wait_until) -> None:
    def leave() -> None:
        with client.chat.completions.create(model="mock-n99-i200000", messages=ASKED, stream=True) as stream:
            next(iter(stream))

    in_a_thread(leave)
    wait_until(lambda: upstream.active == 0 and upstream.cancelled == 1)


def test_anthropic_streams_a_message(claude: anthropic.Anthropic, in_a_thread: Callable) -> None:
    def talk() -> object:
        with claude.messages.stream(model="mock-n4", messages=ASKED, max_tokens=1_000) as stream:
            return "".join(stream.text_stream), stream.get_final_message()

    text, message = in_a_thread(talk)
    assert text == message.content[0].text and text.count("@t") == 4
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 4)


def test_anthropic_reads_a_message_at_once(claude: anthropic.Anthropic, in_a_thread: Callable) -> None:
    def talk() -> object:
        return claude.messages.create(model="mock-n5", messages=ASKED, max_tokens=3)

    message = in_a_thread(talk)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)


def test_anthropic_raises_what_the_upstream_said(claude: anthropic.Anthropic, in_a_thread: Callable) -> None:
    def talk(model: str) -> object:
        with claude.messages.stream(model=model, messages=ASKED, max_tokens=9) as stream:
            return stream.get_final_message()

    with pytest.raises(anthropic.RateLimitError):
        in_a_thread(talk, ("fault-429",))
    with pytest.raises(anthropic.APIStatusError, match="failed while it answered"):
        in_a_thread(talk, ("fault-error-frame",))
