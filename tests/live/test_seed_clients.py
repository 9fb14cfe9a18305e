"""The founding tutorials' browser clients (SEEDS R33 to R37), in words of our own, unchanged against the relay."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.live.bench.sdks import NODE_SCRIPTS, run_node
from tests.live.demo_relay import CANCEL_SECONDS_MAX, DemoRelay, demo_relay

PATHS = ["/v1/chat/completions", "/api/chat/stream"]
# It wants exactly "data: ", so an upstream that leaves the space out is not among them.
READABLE_FORMS = ["ids", "comments", "retry", "crlf", "cr", "bom", "split", "no-done-after-finish", "close-delimited"]
CUT = ["reset", "eof-mid-chunk", "eof-no-done", "eof-delimited", "eof-mid-frame", "error-frame"]
SLOW, EARLY = "mock-n5-i1500000", "mock-n3-d3000000"
MODELS = ["mock-n50", *(f"fault-{fault}" for fault in [*READABLE_FORMS, *CUT, "404"])]
on_each_path = pytest.mark.parametrize("path", PATHS)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRelay]:
    with demo_relay(tmp_path_factory.mktemp("seed")) as bench:
        yield bench


@pytest.fixture(scope="module")
def heartbeats(bench: DemoRelay) -> Iterator[dict[str, Future[int]]]:
    """What a raw caller gets of the slow streams, which shows what the client had to read over."""
    with ThreadPoolExecutor() as pool:
        yield {model: pool.submit(bench.heartbeats, PATHS[0], model) for model in (SLOW, EARLY)}


def keys(bench: DemoRelay) -> dict[str, str]:
    with ThreadPoolExecutor() as pool:
        made = {
            "DEFAULT_KEY": pool.submit(bench.relay.create_key, "as created by default"),
            "SINGLE_KEY": pool.submit(bench.relay.create_key, "one slot", concurrent=1),
        }
        return {name: key.result() for name, key in made.items()}


@pytest.fixture(scope="module")
def seen(bench: DemoRelay, heartbeats: Any) -> dict[str, Any]:
    environ = {**bench.environ, **keys(bench), "MODELS": " ".join(MODELS), "SLOW_MODELS": f"{SLOW} {EARLY}"}
    outcomes: dict[str, Any] = json.loads(run_node(NODE_SCRIPTS / "seed_attempts.mjs", environ))
    return outcomes


def complete(*numbers: int) -> dict[str, Any]:
    """Shown whole, said to be complete, once, and no error."""
    return {"numbers": [*numbers], "completed": 1, "failed": None}


@on_each_path
def test_a_stream_is_shown_whole_and_said_to_be_complete(seen: dict[str, Any], path: str) -> None:
    assert seen[f"{path} mock-n50"] == complete(*range(50))


@on_each_path
def test_a_slow_stream_is_shown_whole_with_its_heartbeats(seen: dict[str, Any], heartbeats: Any, path: str) -> None:
    assert seen[f"{path} {SLOW}"] == complete(0, 1, 2, 3, 4)
    assert heartbeats[SLOW].result(30) >= 2


@on_each_path
def test_a_response_that_opened_before_its_upstream_answered_is_shown_whole(
    seen: dict[str, Any], heartbeats: Any, path: str
) -> None:
    assert seen[f"{path} {EARLY}"] == complete(0, 1, 2)
    assert heartbeats[EARLY].result(30) >= 1


@on_each_path
@pytest.mark.parametrize("form", READABLE_FORMS)
def test_an_odd_form_is_shown_as_a_plain_one(seen: dict[str, Any], form: str, path: str) -> None:
    assert seen[f"{path} fault-{form}"] == complete(0, 1, 2)


@on_each_path
@pytest.mark.parametrize("fault", CUT)
def test_a_cut_answer_is_never_said_to_be_complete(seen: dict[str, Any], fault: str, path: str) -> None:
    """It ignores the error frame; the broken connection is what it understands."""
    shown = seen[f"{path} fault-{fault}"]
    assert shown["numbers"] == [0, 1, 2]
    assert shown["completed"] == 0
    assert shown["failed"]


def test_a_wrong_key_is_told_with_the_errors_message(seen: dict[str, Any]) -> None:
    refused = seen["/v1/chat/completions wrong key"]
    assert refused == {"numbers": [], "completed": 0, "failed": "API Error 401: The API key is not valid."}


def test_on_the_seed_route_a_wrong_key_is_told_with_the_statuss_name(seen: dict[str, Any]) -> None:
    """There the error is a string, which has no message, so the client takes what HTTP calls the status."""
    assert seen["/api/chat/stream wrong key"]["failed"].lower() == "api error 401: unauthorized"


def test_the_upstreams_refusal_is_told_with_its_message(seen: dict[str, Any]) -> None:
    failed = seen["/v1/chat/completions fault-404"]["failed"]
    assert failed == "API Error 404: The demo upstream answers 404, as it was asked to."


def test_the_seed_routes_refusals_have_the_flat_shape(seen: dict[str, Any]) -> None:
    status, body = seen["flat, no key"]
    assert (status, body["error"]) == (401, "MISSING_AUTH")
    assert seen["flat, wrong key, German"] == [
        401,
        {"error": "INVALID_KEY", "message": "Ungültiger API-Schlüssel"},
    ]


@pytest.mark.parametrize("name", ["timed out", "cancelled"])
def test_a_client_that_aborts_stops_the_upstream_and_frees_its_slot(seen: dict[str, Any], name: str) -> None:
    assert seen[name]["cancelSeconds"] < CANCEL_SECONDS_MAX
    assert seen[name]["next"] == [0]


def test_a_timeout_is_told_as_one(seen: dict[str, Any]) -> None:
    assert seen["timed out"]["failed"] == "Stream-Timeout überschritten"
    assert "abort" in seen["cancelled"]["failed"]


def test_a_client_that_keeps_to_five_streams_is_never_refused(seen: dict[str, Any]) -> None:
    assert seen["twelve, five at a time"] == ["done"] * 12


def test_a_sixth_stream_at_once_is_refused_by_a_key_as_created(seen: dict[str, Any]) -> None:
    refused, *others = seen["six at once"]
    assert refused == "API Error 429: This key may have 5 requests at once."
    assert others == ["done"] * 5


def test_a_refused_stream_succeeds_when_it_is_tried_again(seen: dict[str, Any]) -> None:
    assert seen["retried"] == {"attempts": 2, "numbers": [0, 1]}
