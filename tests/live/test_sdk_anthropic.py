"""anthropic-python 2.x against the relay: its base URL is the relay's without /v1, which it adds itself."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import anthropic
import pytest
from anthropic import Anthropic

from tests.live.demo_relay import ODD_FORMS, DemoRelay, ages, demo_relay, numbers

PATH = "/v1/messages"
ASK: Any = [{"role": "user", "content": "What is a relay?"}]
UNTIL_CANCELLED = "mock-n1000-i50000"  # 50 s, if nobody leaves


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRelay]:
    with demo_relay(tmp_path_factory.mktemp("anthropic")) as bench:
        yield bench


def connect(bench: DemoRelay, key: str | None = None, **options: Any) -> Anthropic:
    root = bench.relay.base_url.removesuffix("/v1")
    return Anthropic(base_url=root, api_key=key or bench.key, max_retries=0, **options)


@pytest.fixture(scope="module")
def client(bench: DemoRelay) -> Iterator[Anthropic]:
    with connect(bench) as client:
        yield client


class Stream(NamedTuple):
    """`opened_seconds`: until the answer's head was there. `numbers`: the deltas that were read."""

    opened_seconds: float
    numbers: list[int]
    event_types: list[str]


def start(client: Anthropic, model: str) -> Any:
    return client.messages.create(model=model, max_tokens=5000, messages=ASK, stream=True)


def read(client: Anthropic, model: str) -> Stream:
    began = time.monotonic()
    stream = start(client, model)
    opened_seconds = time.monotonic() - began
    events = list(stream)
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    return Stream(opened_seconds, numbers(text), [event.type for event in events])


def code_raised(kind: type[anthropic.APIError], call: Callable[[], object]) -> tuple[Any, str]:
    """The error, which must be of this very class, and the code within it."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    error: Any = caught.value
    return error, error.body["error"]["code"]


SLOW = [
    "mock-n5-i1500000",
    "mock-n3-d3000000",
    *(f"fault-{form}-n1-i1200000" for form in ("ids", "retry", "comments", "crlf")),
]
LATE = {
    "fault-silent": ("upstream_timeout", 504),
    "fault-stall": ("upstream_idle_timeout", None),
    "fault-429-d2000000": ("rate_limit_exceeded", 429),
    "fault-401-d2000000": ("upstream_auth_failed", 502),
}


class Waiting(NamedTuple):
    """What takes long, begun at the same time: by model, what the client and a raw caller read, and what is raised."""

    streams: dict[str, Future[Stream]]
    heartbeats: dict[str, Future[int]]
    failures: dict[str, Future[tuple[Any, str]]]


@pytest.fixture(scope="module")
def waiting(bench: DemoRelay, client: Anthropic) -> Iterator[Waiting]:
    kind = anthropic.APIStatusError
    with ThreadPoolExecutor(2 * len(SLOW) + len(LATE)) as pool:
        yield Waiting(
            streams={model: pool.submit(read, client, model) for model in SLOW},
            heartbeats={model: pool.submit(bench.heartbeats, PATH, model) for model in SLOW},
            failures={model: pool.submit(code_raised, kind, partial(read, client, model)) for model in LATE},
        )


def test_a_slow_stream_is_read_whole_with_its_heartbeats(waiting: Waiting) -> None:
    assert waiting.streams["mock-n5-i1500000"].result(30).numbers == [0, 1, 2, 3, 4]
    assert waiting.heartbeats["mock-n5-i1500000"].result(30) >= 2


def test_a_response_that_opened_before_its_upstream_answered_is_read_whole(waiting: Waiting) -> None:
    stream = waiting.streams["mock-n3-d3000000"].result(30)
    assert stream.numbers == [0, 1, 2]
    assert stream.opened_seconds < 2.5
    assert waiting.heartbeats["mock-n3-d3000000"].result(30) >= 1


@pytest.mark.parametrize("form", ["ids", "retry", "comments", "crlf"])
def test_heartbeats_between_frames_of_an_odd_form_do_no_harm(waiting: Waiting, form: str) -> None:
    model = f"fault-{form}-n1-i1200000"
    assert waiting.streams[model].result(30).numbers == [0]
    assert waiting.heartbeats[model].result(30) >= 1


@pytest.mark.parametrize("model", LATE)
def test_a_failure_in_an_open_stream_says_what_it_would_have_been(waiting: Waiting, model: str) -> None:
    error, code = waiting.failures[model].result(20)
    assert (code, error.body["error"].get("status")) == LATE[model]


def test_a_stream_is_read_whole_and_in_the_official_order(client: Anthropic) -> None:
    stream = read(client, "mock-n200")
    assert stream.numbers == list(range(200))
    assert stream.event_types == [
        *("message_start", "content_block_start"),
        *["content_block_delta"] * 200,
        *("content_block_stop", "message_delta", "message_stop"),
    ]


def test_the_sdks_own_accumulator_ends_with_the_whole_message(client: Anthropic) -> None:
    with client.messages.stream(model="mock-n5", max_tokens=100, messages=ASK) as stream:
        assert numbers("".join(stream.text_stream)) == [0, 1, 2, 3, 4]
        message = stream.get_final_message()
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 5)


def test_each_delta_arrives_as_it_is_made(client: Anthropic) -> None:
    events = start(client, "mock-n5-i200000")
    seconds = [age for event in events if event.type == "content_block_delta" for age in ages(event.delta.text)]
    assert len(seconds) == 5
    assert max(seconds) < 0.15


def test_a_message_comes_at_once(client: Anthropic) -> None:
    message = client.messages.create(model="mock-n20", max_tokens=3, messages=ASK)
    block: Any = message.content[0]
    assert numbers(block.text) == [0, 1, 2]
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)


@pytest.mark.parametrize("form", ODD_FORMS)
def test_an_odd_form_is_read_as_a_plain_one(client: Anthropic, form: str) -> None:
    assert read(client, f"fault-{form}").numbers == [0, 1, 2]


def test_a_wrong_key_is_an_authentication_error(bench: DemoRelay) -> None:
    with bench.demo.called(0), connect(bench, "rk_unknown") as stranger:
        error, code = code_raised(anthropic.AuthenticationError, lambda: read(stranger, "demo"))
    assert (error.status_code, code, error.type) == (401, "invalid_api_key", "authentication_error")


@pytest.mark.parametrize("authorization", [{"Authorization": anthropic.Omit()}, {}], ids=["alone", "beside the other"])
def test_a_key_may_come_as_x_api_key_too(bench: DemoRelay, authorization: dict[str, Any]) -> None:
    """As older lines of this client, and Anthropic's own documentation, send it."""
    with connect(bench, default_headers={"x-api-key": bench.key, **authorization}) as client:
        assert read(client, "mock-n1").numbers == [0]


def test_a_wrong_x_api_key_is_an_authentication_error(bench: DemoRelay) -> None:
    headers: Any = {"x-api-key": "rk_unknown", "Authorization": anthropic.Omit()}
    with connect(bench, default_headers=headers) as stranger:
        _, code = code_raised(anthropic.AuthenticationError, lambda: read(stranger, "demo"))
    assert code == "invalid_api_key"


def test_the_keys_rate_limit_is_a_rate_limit_error(bench: DemoRelay) -> None:
    with connect(bench, bench.relay.create_key("rare", rpm=1)) as client:
        assert read(client, "mock-n1").numbers == [0]
        error, code = code_raised(anthropic.RateLimitError, lambda: read(client, "mock-n1"))
    assert (code, error.response.headers["relay-error-source"]) == ("rate_limit_exceeded", "relay")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (404, anthropic.NotFoundError),
        (413, anthropic.RequestTooLargeError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
def test_the_upstreams_refusal_passes_as_it_is(client: Anthropic, status: int, kind: Any) -> None:
    error, _ = code_raised(kind, lambda: read(client, f"fault-{status}"))
    assert error.status_code == status
    assert error.response.headers["relay-error-source"] == "upstream"


def test_a_502_that_would_only_repeat_is_not_asked_again(bench: DemoRelay, client: Anthropic) -> None:
    patient = client.with_options(max_retries=2)
    with bench.demo.called(1):
        _, code = code_raised(anthropic.InternalServerError, lambda: read(patient, "fault-401"))
    assert code == "upstream_auth_failed"
    with bench.demo.called(3):
        code_raised(anthropic.InternalServerError, lambda: read(patient, "fault-500"))


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("reset", "upstream_disconnected"),
        ("eof-mid-chunk", "upstream_incomplete"),
        ("short-length", "upstream_incomplete"),
        ("eof-no-done", "upstream_incomplete"),
        ("eof-delimited", "upstream_incomplete"),
        ("no-done-after-finish", "upstream_incomplete"),
        ("big-frame", "frame_too_large"),
    ],
)
def test_a_broken_stream_raises_with_its_code(client: Anthropic, fault: str, code: str) -> None:
    assert code_raised(anthropic.APIStatusError, lambda: read(client, f"fault-{fault}"))[1] == code


def test_the_upstreams_own_error_within_a_stream_raises_as_it_is(client: Anthropic) -> None:
    error, _ = code_raised(anthropic.APIStatusError, lambda: read(client, "fault-error-frame"))
    assert error.body["error"]["message"] == "The model failed while it answered."


def test_a_stream_closed_early_stops_the_upstream(bench: DemoRelay, client: Anthropic) -> None:
    stream = start(client, UNTIL_CANCELLED)
    next(stream)
    with bench.demo.one_cancelled():
        stream.close()
    bench.relay.wait_for_log_line(model=UNTIL_CANCELLED, end="client_gone", status=200)


def test_leaving_the_accumulator_early_stops_the_upstream(bench: DemoRelay, client: Anthropic) -> None:
    asking = client.messages.stream(model=UNTIL_CANCELLED, max_tokens=5000, messages=ASK)
    with bench.demo.one_cancelled(), asking as stream:
        next(iter(stream.text_stream))


def test_a_client_that_times_out_before_the_first_byte_stops_the_upstream(bench: DemoRelay, client: Anthropic) -> None:
    with bench.demo.one_cancelled(), pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.4).messages.create(model="mock-d20000000", max_tokens=9, messages=ASK)
