"""The official SDKs, and the founding tutorials' client, read a stream that is kept as they read any other."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from openai import APIError, OpenAI

from tests.live.bench.sdks import NODE_SCRIPTS, run_node, run_openai1, run_python
from tests.live.demo_relay import DemoRelay, demo_relay

# Quick, slow enough for heartbeats, opened before the upstream answered, and every odd form that SDKs can read.
EXPECTED = {
    "mock-n50": 50,
    "mock-n3-i1500000": 3,
    "mock-n3-d2500000": 3,
    **{f"fault-{form}": None for form in ("ids", "comments", "retry", "crlf", "bom", "split")},
}
ASK: Any = [{"role": "user", "content": "What is a relay?"}]
Run = Callable[..., str]
PROGRAMS: dict[str, tuple[Run, Path]] = {
    "openai-node": (run_node, NODE_SCRIPTS / "kept_streams.mjs"),
    "openai-python 1.x": (run_openai1, Path(__file__).with_name("openai_kept.py")),
    "openai-python 3.x": (run_python, Path(__file__).with_name("openai_kept.py")),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRelay]:
    with demo_relay(tmp_path_factory.mktemp("sdks")) as bench:
        yield bench


@pytest.fixture(scope="module")
def kept_key(bench: DemoRelay) -> str:
    return bench.relay.create_key("kept", rpm=1_000_000, concurrent=1000, resume=True)


@pytest.fixture(scope="module")
def running(bench: DemoRelay, kept_key: str) -> Iterator[dict[str, Future[str]]]:
    """All at once: they wait most of the time."""
    environ = {**bench.environ, "KEPT_KEY": kept_key, "MODELS": " ".join(EXPECTED)}
    with ThreadPoolExecutor() as pool:
        yield {name: pool.submit(run, path, environ) for name, (run, path) in PROGRAMS.items()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_kept_stream_is_read_like_any_other(running: dict[str, Future[str]], program: str) -> None:
    seen: dict[str, Any] = json.loads(running[program].result(90))
    kept = {name: read for name, read in seen.items() if " kept " in name}
    assert len(kept) == len(seen) / 2
    for name, read in kept.items():
        count = EXPECTED[name.rpartition(" ")[2]]
        assert read == seen[name.replace(" kept ", " plain ")], name
        assert len(read) > 0, name
        assert read == list(range(count or len(read))), name


@pytest.fixture(params=["with", "without"])
def client(request: pytest.FixtureRequest, bench: DemoRelay, kept_key: str) -> Iterator[OpenAI]:
    key = kept_key if request.param == "with" else bench.key
    with OpenAI(base_url=bench.relay.base_url, api_key=key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("fault-reset", "upstream_disconnected"),
        ("fault-eof-no-done", "upstream_incomplete"),
        ("fault-429", None),
    ],
)
def test_a_broken_stream_raises(client: OpenAI, model: str, code: str | None) -> None:
    with pytest.raises(APIError) as caught:
        list(client.chat.completions.create(model=model, messages=ASK, stream=True))
    assert code is None or caught.value.code == code


def test_usage_is_told_where_it_was_asked_for(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    create = client.chat.completions.create
    chunks = list(create(model="mock-n3", messages=ASK, stream=True, stream_options=options))
    assert [len(chunk.choices) for chunk in chunks if chunk.usage] == [0]


def test_the_same_request_under_a_key_is_the_same_answer_and_asked_once(bench: DemoRelay, client: OpenAI) -> None:
    name = {"Idempotency-Key": client.api_key}
    with bench.demo.called(1):
        answers = [client.chat.completions.create(model="mock-n3", messages=ASK, extra_headers=name) for _ in range(3)]
    assert len({answer.choices[0].message.content for answer in answers}) == 1


def test_an_anthropic_stream_is_read_whole(bench: DemoRelay, kept_key: str) -> None:
    base_url = bench.relay.base_url.removesuffix("/v1")
    with (
        Anthropic(base_url=base_url, api_key=kept_key, max_retries=0) as client,
        client.messages.stream(model="mock-n5", max_tokens=100, messages=ASK) as stream,
    ):
        assert stream.get_final_text().count("@t") == 5
