"""openai-python 1.x against the relay: it runs elsewhere (openai1_client.py) and tells what it saw."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.live.bench.program import ROOT
from tests.live.bench.sdks import run_openai1
from tests.live.demo_relay import CANCEL_SECONDS_MAX, ODD_FORMS, DemoRelay, demo_relay

ROUTES = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "responses": "/v1/responses"}
of_each_route = pytest.mark.parametrize("route", ROUTES)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRelay]:
    with demo_relay(tmp_path_factory.mktemp("openai1")) as bench:
        yield bench


@pytest.fixture(scope="module")
def heartbeats(bench: DemoRelay) -> Iterator[dict[str, Future[int]]]:
    """What a raw caller gets of the slow streams, which shows what the client had to read over."""
    with ThreadPoolExecutor() as pool:
        yield {route: pool.submit(bench.heartbeats, path, "mock-n5-i1500000") for route, path in ROUTES.items()}


@pytest.fixture(scope="module")
def seen(bench: DemoRelay, heartbeats: Any) -> dict[str, Any]:
    script = ROOT / "tests" / "live" / "openai1_client.py"
    outcomes: dict[str, Any] = json.loads(run_openai1(script, {**bench.environ, "ODD_FORMS": " ".join(ODD_FORMS)}))
    return outcomes


def raised(kind: str, code: str | None, status: int | None = None) -> dict[str, Any]:
    return {"raised": kind, "code": code, "status": status}


@of_each_route
def test_a_stream_is_read_whole(seen: dict[str, Any], route: str) -> None:
    assert seen[f"{route} mock-n50"]["numbers"] == list(range(50))


@of_each_route
def test_a_slow_stream_is_read_whole_with_its_heartbeats(seen: dict[str, Any], heartbeats: Any, route: str) -> None:
    assert seen[f"{route} mock-n5-i1500000"]["numbers"] == [0, 1, 2, 3, 4]
    assert heartbeats[route].result(30) >= 2


@of_each_route
def test_a_response_that_opened_before_its_upstream_answered_is_read_whole(seen: dict[str, Any], route: str) -> None:
    stream = seen[f"{route} mock-n3-d3000000"]
    assert stream["numbers"] == [0, 1, 2]
    assert stream["opened_seconds"] < 2.5


@pytest.mark.parametrize("form", ["ids", "retry", "comments", "crlf"])
def test_heartbeats_between_frames_of_an_odd_form_do_no_harm(seen: dict[str, Any], form: str) -> None:
    assert seen[f"chat fault-{form}-n2-i1500000"]["numbers"] == [0, 1]


@of_each_route
@pytest.mark.parametrize("form", ODD_FORMS)
def test_an_odd_form_is_read_as_a_plain_one(seen: dict[str, Any], form: str, route: str) -> None:
    assert seen[f"{route} fault-{form}"]["numbers"] == [0, 1, 2]


def test_answers_that_are_not_streamed_come_whole(seen: dict[str, Any]) -> None:
    assert seen["whole_answers"] == [[0, 1, 2]] * 3
    assert seen["embeddings"] == [16, 16]
    assert seen["models"] == ["demo", "demo-slow"]


def test_the_usage_comes_once_and_alone(seen: dict[str, Any]) -> None:
    assert seen["usage"] == [[0, 3]]


def test_a_wrong_key_is_an_authentication_error(seen: dict[str, Any]) -> None:
    assert seen["wrong key"] == raised("AuthenticationError", "invalid_api_key", 401)


@of_each_route
def test_a_refusal_keeps_its_status(seen: dict[str, Any], route: str) -> None:
    assert seen[f"{route} fault-429"] == raised("RateLimitError", "rate_limit_exceeded", 429)
    assert seen[f"{route} fault-404"] == raised("NotFoundError", "model_not_found", 404)
    assert seen[f"{route} fault-401"] == raised("InternalServerError", "upstream_auth_failed", 502)


@of_each_route
def test_a_broken_stream_raises_with_its_code(seen: dict[str, Any], route: str) -> None:
    assert seen[f"{route} fault-reset"] == raised("APIError", "upstream_disconnected")
    assert seen[f"{route} fault-eof-no-done"] == raised("APIError", "upstream_incomplete")


@of_each_route
def test_a_failure_in_an_open_stream_says_what_it_would_have_been(seen: dict[str, Any], route: str) -> None:
    assert seen[f"{route} fault-429-d2000000"] == raised("APIError", "rate_limit_exceeded")


def test_only_what_may_succeed_is_asked_again(seen: dict[str, Any]) -> None:
    assert seen["asked fault-500"] == 3
    assert seen["asked fault-redirect"] == 1


@pytest.mark.parametrize("name", ["closed early", "closed during silence"])
def test_a_stream_closed_early_stops_the_upstream(seen: dict[str, Any], name: str) -> None:
    assert seen[name] < CANCEL_SECONDS_MAX
