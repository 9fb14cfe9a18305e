"""openai-python 3.x against the relay: only base URL and key are changed."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from openai import APITimeoutError, AsyncOpenAI, OpenAI

from tests.live.bench.waiting import until
from tests.live.demo_relay import ODD_FORMS, DemoRelay, ages, demo_relay, numbers

ASK: Any = [{"role": "user", "content": "What is a relay?"}]
UNTIL_CANCELLED = "mock-n1000-i50000"  # 50 s, if nobody leaves


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRelay]:
    with demo_relay(tmp_path_factory.mktemp("openai")) as bench:
        yield bench


@pytest.fixture(scope="module")
def client(bench: DemoRelay) -> Iterator[OpenAI]:
    with OpenAI(base_url=bench.relay.base_url, api_key=bench.key, max_retries=0) as client:
        yield client


class Stream(NamedTuple):
    """`opened_seconds`: until the answer's head was there. `numbers`: the deltas that were read."""

    opened_seconds: float
    numbers: list[int]


def read(create: Callable[[], Iterable[Any]], text_of: Callable[[Any], str | None]) -> Stream:
    began = time.monotonic()
    events = create()
    opened_seconds = time.monotonic() - began
    return Stream(opened_seconds, numbers("".join(text_of(event) or "" for event in events)))


def chat(client: OpenAI, model: str) -> Stream:
    """As most programs do it: no look at whether there are choices at all."""
    create = client.chat.completions.create
    return read(lambda: create(model=model, messages=ASK, stream=True), lambda chunk: chunk.choices[0].delta.content)


def completions(client: OpenAI, model: str) -> Stream:
    create = client.completions.create
    return read(lambda: create(model=model, prompt="What?", stream=True), lambda chunk: chunk.choices[0].text)


def responses(client: OpenAI, model: str) -> Stream:
    create = client.responses.create
    return read(
        lambda: create(model=model, input="What?", stream=True),
        lambda event: event.delta if event.type == "response.output_text.delta" else "",
    )


def impatient(client: OpenAI, model: str) -> Stream:
    """For a client that waits two seconds for the next byte."""
    return chat(client.with_options(timeout=2), model)


CHAT = "/v1/chat/completions"
ROUTES = {CHAT: chat, "/v1/completions": completions, "/v1/responses": responses}
SLOW = {
    **{(path, "mock-n5-i1500000"): read_route for path, read_route in ROUTES.items()},
    **{(path, "mock-n3-d3000000"): read_route for path, read_route in ROUTES.items()},
    **{(CHAT, f"fault-{form}-n2-i1500000"): chat for form in ("ids", "retry", "comments", "crlf")},
    (CHAT, "mock-n2-i3000000"): impatient,
}
of_each_route = pytest.mark.parametrize("path", ROUTES)


@pytest.fixture(scope="module")
def slow(bench: DemoRelay, client: OpenAI) -> Iterator[dict[tuple[str, str], tuple[Future[Stream], Future[int]]]]:
    """All slow streams at the same time, each read by the client and by a raw caller that counts its heartbeats."""
    with ThreadPoolExecutor(2 * len(SLOW)) as pool:
        yield {
            (path, model): (pool.submit(reader, client, model), pool.submit(bench.heartbeats, path, model))
            for (path, model), reader in SLOW.items()
        }


@of_each_route
def test_a_slow_stream_is_read_whole_with_its_heartbeats(slow: Any, path: str) -> None:
    stream, heartbeats = slow[path, "mock-n5-i1500000"]
    assert stream.result(30).numbers == [0, 1, 2, 3, 4]
    assert heartbeats.result(30) >= 2


@of_each_route
def test_a_response_that_opened_before_its_upstream_answered_is_read_whole(slow: Any, path: str) -> None:
    stream, heartbeats = slow[path, "mock-n3-d3000000"]
    assert stream.result(30).numbers == [0, 1, 2]
    assert stream.result().opened_seconds < 2.5
    assert heartbeats.result(30) >= 1


@pytest.mark.parametrize("form", ["ids", "retry", "comments", "crlf"])
def test_heartbeats_between_frames_of_an_odd_form_do_no_harm(slow: Any, form: str) -> None:
    stream, heartbeats = slow[CHAT, f"fault-{form}-n2-i1500000"]
    assert stream.result(30).numbers == [0, 1]
    assert heartbeats.result(30) >= 1


def test_heartbeats_keep_a_client_with_a_short_read_timeout(slow: Any) -> None:
    stream, _ = slow[CHAT, "mock-n2-i3000000"]
    assert stream.result(30).numbers == [0, 1]


@of_each_route
def test_a_stream_is_read_whole(client: OpenAI, path: str) -> None:
    assert ROUTES[path](client, "mock-n200").numbers == list(range(200))


@of_each_route
@pytest.mark.parametrize("form", ODD_FORMS)
def test_an_odd_form_is_read_as_a_plain_one(client: OpenAI, form: str, path: str) -> None:
    assert ROUTES[path](client, f"fault-{form}").numbers == [0, 1, 2]


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_a_finished_answer_without_done_is_whole(client: OpenAI, path: str) -> None:
    assert ROUTES[path](client, "fault-no-done-after-finish").numbers == [0, 1, 2]


def test_each_chunk_arrives_as_it_is_made(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="mock-n5-i200000", messages=ASK, stream=True)
    seconds = [age for chunk in stream for age in ages(chunk.choices[0].delta.content or "")]
    assert len(seconds) == 5
    assert max(seconds) < 0.15


def test_the_usage_comes_where_it_was_asked_for(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    create = client.chat.completions.create
    *chunks, last = create(model="mock-n3", messages=ASK, stream=True, stream_options=options)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (5, 3)


def test_a_chat_completion_comes_at_once(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="mock-n3", messages=ASK)
    assert numbers(answer.choices[0].message.content or "") == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_a_text_completion_comes_at_once(client: OpenAI) -> None:
    assert numbers(client.completions.create(model="mock-n3", prompt="What?").choices[0].text) == [0, 1, 2]


def test_a_response_comes_at_once(client: OpenAI) -> None:
    assert numbers(client.responses.create(model="mock-n3", input="What?").output_text) == [0, 1, 2]


def test_the_sdks_own_accumulators_end_with_the_whole_answer(client: OpenAI) -> None:
    with client.chat.completions.stream(model="mock-n3", messages=ASK) as chunks:
        assert numbers(chunks.get_final_completion().choices[0].message.content or "") == [0, 1, 2]
    with client.responses.stream(model="mock-n3", input="What?") as events:
        assert numbers(events.get_final_response().output_text) == [0, 1, 2]


def test_embeddings_are_decoded(client: OpenAI) -> None:
    answer = client.embeddings.create(model="demo", input=["one", "two"])
    one, two = (item.embedding for item in answer.data)
    assert sum(value * value for value in one) == pytest.approx(1, abs=1e-5)
    assert len(one) == len(two)
    assert one != two


def test_the_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["demo", "demo-slow"]


def test_a_bound_key_sees_only_its_models(bench: DemoRelay) -> None:
    key = bench.relay.create_key("bound", model=["demo-slow"])
    with OpenAI(base_url=bench.relay.base_url, api_key=key) as bound:
        assert [model.id for model in bound.models.list()] == ["demo-slow"]


def test_a_stream_closed_early_stops_the_upstream(bench: DemoRelay, client: OpenAI) -> None:
    stream = client.chat.completions.create(model=UNTIL_CANCELLED, messages=ASK, stream=True)
    next(stream)
    with bench.demo.one_cancelled():
        stream.close()
    bench.relay.wait_for_log_line(model=UNTIL_CANCELLED, end="client_gone", status=200)


def test_a_stream_closed_during_silence_stops_the_upstream(bench: DemoRelay, client: OpenAI) -> None:
    stream = client.chat.completions.create(model="mock-n2-i20000000", messages=ASK, stream=True)
    next(stream)
    with bench.demo.one_cancelled():
        stream.close()


def test_a_client_that_times_out_before_the_first_byte_stops_the_upstream(bench: DemoRelay, client: OpenAI) -> None:
    with bench.demo.one_cancelled(), pytest.raises(APITimeoutError):
        client.with_options(timeout=0.4).chat.completions.create(model="mock-d20000000", messages=ASK)
    bench.relay.wait_for_log_line(model="mock-d20000000", end="client_gone", status=499)


def test_a_cancelled_task_stops_the_upstream(bench: DemoRelay) -> None:
    async def cancel_one() -> None:
        async with AsyncOpenAI(base_url=bench.relay.base_url, api_key=bench.key) as client:
            stream = await client.chat.completions.create(model=UNTIL_CANCELLED, messages=ASK, stream=True)
            await anext(aiter(stream))
            reading = asyncio.create_task(drain(stream))
            await asyncio.sleep(0.2)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

    async def drain(stream: Any) -> None:
        async with stream:
            async for _ in stream:
                pass

    with bench.demo.one_cancelled():
        asyncio.run(cancel_one())


def test_an_upstream_that_does_not_end_its_body_is_let_go_of(bench: DemoRelay, client: OpenAI) -> None:
    """The stream is over with its terminal frame; what may follow is waited for briefly, and then no longer."""
    assert chat(client, "fault-late-end").numbers == [0, 1, 2]
    until(lambda: bench.demo.stats()["active"] == 0, 2, "the end of what the upstream does")
