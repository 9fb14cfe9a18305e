"""openai-python 3.x against the relay: which error it raises, what that error says, and whether it asks again."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.live.demo_relay import DemoRelay, demo_relay, numbers

SHORT_LIMITS = {
    "RELAY_STREAM__EARLY_OPEN_SECONDS": "0.5",
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "1.5",
    "RELAY_STREAM__IDLE_SECONDS_MAX": "1.5",
}
ASK: Any = [{"role": "user", "content": "What is a relay?"}]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRelay]:
    directory = tmp_path_factory.mktemp("openai-errors")
    with demo_relay(directory, **SHORT_LIMITS) as bench:
        yield bench


@pytest.fixture
def new_client(bench: DemoRelay) -> Iterator[Callable[..., OpenAI]]:
    """new_client(key, max_retries=2); does not ask again unless told to."""
    clients: list[OpenAI] = []

    def connect(key: str = bench.key, **options: Any) -> OpenAI:
        clients.append(OpenAI(base_url=bench.relay.base_url, api_key=key, **{"max_retries": 0, **options}))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def client(new_client: Callable[..., OpenAI]) -> OpenAI:
    return new_client()


def chat(client: OpenAI, model: str) -> list[int]:
    chunks = client.chat.completions.create(model=model, messages=ASK, stream=True)
    return numbers("".join(chunk.choices[0].delta.content or "" for chunk in chunks))


def responses(client: OpenAI, model: str) -> list[str]:
    return [event.type for event in client.responses.create(model=model, input="What?", stream=True)]


def refused(kind: type[openai.APIStatusError], call: Callable[[], object]) -> Any:
    """What the SDK raises: of this very class, with the relay's request id."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert caught.value.request_id
    return caught.value


def broken(call: Callable[[], object]) -> openai.APIError:
    """What the SDK raises within a stream: neither a refusal nor a lost connection."""
    with pytest.raises(openai.APIError) as caught:
        call()
    assert type(caught.value) is openai.APIError
    return caught.value


@pytest.mark.parametrize("key", ["rk_unknown", "sk-a-provider-key"])
def test_a_wrong_key_is_an_authentication_error(bench: DemoRelay, new_client: Callable[..., OpenAI], key: str) -> None:
    with bench.demo.called(0):
        error = refused(openai.AuthenticationError, partial(chat, new_client(key, max_retries=2), "demo"))
    assert (error.status_code, error.code, error.type) == (401, "invalid_api_key", "authentication_error")
    assert error.body["message"] == "The API key is not valid."
    assert error.response.headers["www-authenticate"] == "Bearer"


def test_a_model_that_is_not_the_keys_is_refused(bench: DemoRelay, new_client: Callable[..., OpenAI]) -> None:
    bound = new_client(bench.relay.create_key("bound", model=["demo-slow"]))
    error = refused(openai.PermissionDeniedError, partial(chat, bound, "demo"))
    assert (error.status_code, error.code) == (403, "model_not_allowed")


def test_a_route_that_is_not_there_is_not_found(client: OpenAI) -> None:
    error = refused(openai.NotFoundError, client.files.list)
    assert (error.status_code, error.code) == (404, "route_not_found")


def test_a_body_that_is_too_large_is_refused_and_the_refusal_arrives(client: OpenAI) -> None:
    huge: Any = [{"role": "user", "content": "x" * 2_100_000}]
    error = refused(openai.APIStatusError, lambda: client.chat.completions.create(model="demo", messages=huge))
    assert (error.status_code, error.code) == (413, "body_too_large")


def test_the_keys_rate_limit_is_a_rate_limit_error(bench: DemoRelay, new_client: Callable[..., OpenAI]) -> None:
    client = new_client(bench.relay.create_key("rare", rpm=2))
    for _ in range(2):
        assert chat(client, "mock-n1") == [0]
    with bench.demo.called(0):
        error = refused(openai.RateLimitError, partial(chat, client, "mock-n1"))
    assert (error.status_code, error.code) == (429, "rate_limit_exceeded")
    assert error.response.headers["relay-error-source"] == "relay"
    assert 1 <= int(error.response.headers["retry-after"]) <= 60


def test_a_client_over_its_concurrency_succeeds_when_it_asks_again(
    bench: DemoRelay, new_client: Callable[..., OpenAI]
) -> None:
    client = new_client(bench.relay.create_key("single", concurrent=1))
    running = client.chat.completions.create(model="mock-n7-i100000", messages=ASK, stream=True)
    assert refused(openai.RateLimitError, partial(chat, client, "mock-n1")).code == "too_many_streams"
    assert chat(client.with_options(max_retries=2), "mock-n1") == [0]
    assert len(list(running)) == 8


def test_a_slot_is_free_once_the_last_chunk_was_read(bench: DemoRelay, new_client: Callable[..., OpenAI]) -> None:
    client = new_client(bench.relay.create_key("in a row", concurrent=1, rpm=0))
    assert [chat(client, "mock-n2") for _ in range(50)] == [[0, 1]] * 50


def test_the_upstreams_rate_limit_passes_with_its_headers(client: OpenAI) -> None:
    error = refused(openai.RateLimitError, partial(chat, client, "fault-429"))
    assert (error.code, error.body["message"]) == ("rate_limit_exceeded", "Rate limit reached for requests.")
    headers = error.response.headers
    assert (headers["relay-error-source"], headers["retry-after"]) == ("upstream", "7")
    assert headers["x-ratelimit-remaining-tokens"] == "39000"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, openai.BadRequestError, "invalid_value"),
        (404, openai.NotFoundError, "model_not_found"),
        (409, openai.ConflictError, "conflict"),
        (422, openai.UnprocessableEntityError, "unprocessable"),
        (500, openai.InternalServerError, "server_error"),
        (529, openai.InternalServerError, "overloaded_error"),
    ],
)
def test_the_upstreams_refusal_passes_as_it_is(client: OpenAI, status: int, kind: Any, code: str) -> None:
    for call in (chat, responses):
        error = refused(kind, partial(call, client, f"fault-{status}"))
        assert (error.status_code, error.code) == (status, code)
        assert error.response.headers["relay-error-source"] == "upstream"


def test_the_upstreams_500_is_asked_again_as_the_sdk_pleases(bench: DemoRelay, client: OpenAI) -> None:
    with bench.demo.called(2), pytest.raises(openai.InternalServerError):
        chat(client.with_options(max_retries=1), "fault-500")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("401", "upstream_auth_failed"),
        ("403", "upstream_auth_failed"),
        ("redirect", "upstream_redirect"),
        ("garbage", "upstream_bad_response"),
        ("gzip", "upstream_bad_response"),
    ],
)
def test_a_502_that_would_only_repeat_is_not_asked_again(
    bench: DemoRelay, new_client: Callable[..., OpenAI], fault: str, code: str
) -> None:
    with bench.demo.called(1):
        error = refused(openai.InternalServerError, partial(chat, new_client(max_retries=2), f"fault-{fault}"))
    assert (error.status_code, error.code) == (502, code)
    assert error.response.headers["x-should-retry"] == "false"


def test_an_upstream_that_never_answers_is_not_asked_again(bench: DemoRelay, new_client: Callable[..., OpenAI]) -> None:
    client = new_client(max_retries=2)
    with bench.demo.called(1):
        ask = partial(client.chat.completions.create, model="fault-silent", messages=ASK)
        error = refused(openai.InternalServerError, ask)
    assert (error.status_code, error.code) == (504, "upstream_timeout")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("reset", "upstream_disconnected"),
        ("eof-mid-chunk", "upstream_incomplete"),
        ("short-length", "upstream_incomplete"),
        ("eof-no-done", "upstream_incomplete"),
        ("eof-delimited", "upstream_incomplete"),
        ("eof-mid-frame", "upstream_incomplete"),
        ("big-frame", "frame_too_large"),
    ],
)
def test_a_broken_stream_raises_with_its_code(client: OpenAI, fault: str, code: str) -> None:
    for call in (chat, responses):
        assert broken(partial(call, client, f"fault-{fault}")).code == code


def test_what_came_before_the_break_was_delivered(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="fault-eof-no-done-n4", messages=ASK, stream=True)
    text = "".join(next(stream).choices[0].delta.content or "" for _ in range(4))
    assert numbers(text) == [0, 1, 2, 3]
    broken(lambda: next(stream))


def test_the_upstreams_own_error_within_a_stream_raises_as_it_is(client: OpenAI) -> None:
    error = broken(partial(chat, client, "fault-error-frame"))
    assert (error.code, error.message) == ("server_error", "The model failed while it answered.")


def test_the_upstreams_error_event_within_a_response_is_delivered(client: OpenAI) -> None:
    """This SDK hands it over as an event of the stream; then it must not take the stream for whole."""
    events = client.responses.create(model="fault-error-frame", input="What?", stream=True)
    last: Any = None
    with pytest.raises(openai.APIError):
        for last in events:  # noqa: B007  the last one is looked at below
            pass
    assert (last.type, last.code) == ("error", "server_error")


LATE = {
    "fault-silent": ("upstream_timeout", 504),
    "fault-stall": ("upstream_idle_timeout", None),
    "fault-429-d1000000": ("rate_limit_exceeded", 429),
    "fault-401-d1000000": ("upstream_auth_failed", 502),
    "fault-garbage-d1000000": ("upstream_bad_response", 502),
}


@pytest.fixture(scope="module")
def late(bench: DemoRelay) -> Iterator[dict[tuple[str, Any], Future[openai.APIError]]]:
    """All at the same time: what is raised where the response was open before the upstream failed."""
    with (
        OpenAI(base_url=bench.relay.base_url, api_key=bench.key) as client,
        ThreadPoolExecutor(2 * len(LATE)) as pool,
    ):
        calls = [(model, call) for model in LATE for call in (chat, responses)]
        yield {(model, call): pool.submit(broken, partial(call, client, model)) for model, call in calls}


@pytest.mark.parametrize("call", [chat, responses])
@pytest.mark.parametrize("model", LATE)
def test_a_failure_in_an_open_stream_says_what_it_would_have_been(late: Any, model: str, call: Any) -> None:
    error = late[model, call].result(20)
    code, status = LATE[model]
    assert error.code == code
    assert error.body.get("status") == status
