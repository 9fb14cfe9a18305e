"""Tasks, end to end in this process: what is answered, what is told, who may see it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.schema import Models, Price, Server, Tasks
from tests.house import UPSTREAM_KEY, House
from tests.live.bench.scripts import chat_stream, error_answer, streaming, usage_frame
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.task_page import PROMPT, STAGES, TASK_ID, assert_in_order, code_of, followed, posted, told

WHOLE = [*chat_stream("Hello", " world")[:-1], usage_frame(3, 5), chat_stream()[-1]]


def stage(caller: FlaskClient, task_id: str) -> str:
    return str(json.loads(caller.get(f"/v1/tasks/{task_id}").data)["stage"])


@pytest.mark.parametrize("path", ["/v1/tasks", "/process"])
def test_a_task_is_accepted_with_where_to_follow_it(caller: FlaskClient, path: str) -> None:
    answer = posted(caller, path, task_id=TASK_ID)
    assert set(answer) == {"task_id", "stream_url", "status_url"}
    assert answer["task_id"] == TASK_ID
    assert answer["stream_url"].startswith(f"/stream/{TASK_ID}?ticket=")
    assert answer["status_url"].startswith(f"/v1/tasks/{TASK_ID}?ticket=")
    assert "canary" not in str(answer)


def test_below_a_prefix_its_addresses_are_below_it_too(build: Callable[..., House]) -> None:
    house = build(server=Server(path_prefix="/sse"))
    answer = posted(house.caller(), "/sse/process")
    assert answer["stream_url"].startswith("/sse/stream/") and answer["status_url"].startswith("/sse/v1/tasks/")
    assert_in_order(followed(house.app.test_client(), answer["stream_url"]))


def test_its_first_event_is_kept_before_anything_is_asked_of_an_upstream(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    task_id = posted(caller)["task_id"]
    kept = next(iter(house.relay.streams._store._kept.values()))
    [first] = told(kept.log.read(0, 65_536)[0])
    assert (first.name, first.data["stage"], first.data["queue_depth"]) == ("status", "queued", 0)
    assert upstream.accepted == 0
    assert stage(caller, task_id) == "queued"


def test_each_stage_each_piece_and_the_end_are_told_once_and_in_order(
    build: Callable[..., House], upstream: ScriptedUpstream
) -> None:
    caller = build(models=Models(prices={"gpt-test": Price(2.0, 8.0)})).caller()
    upstream.answer(streaming(WHOLE))
    task = posted(caller)
    events = followed(caller, f"/v1/tasks/{task['task_id']}/events")
    assert_in_order(events)
    assert [event.data["stage"] for event in events if event.name == "status"] == STAGES
    assert [event.data["chunk"] for event in events if event.name == "progress"] == ["Hello", " world"]
    last = events[-1].data
    assert (last["response"], last["progress"], last["model"]) == ("Hello world", 100, "gpt-test")
    assert last["usage"] == {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    assert last["cost_usd"] == pytest.approx((3 * 2 + 5 * 8) / 1e6)
    assert last["duration_ms"] >= last["ttft_ms"] > 0
    state = json.loads(caller.get(f"/tasks/{task['task_id']}").data)
    assert (state["stage"], state["progress"], state["result"], state["error"]) == (
        "complete",
        100,
        "Hello world",
        None,
    )
    assert (state["usage"], state["cost_usd"]) == (last["usage"], last["cost_usd"])
    assert state["updated_at"].endswith("Z") and state["expires_at"] > 0


def test_the_upstream_is_asked_for_a_stream_with_its_usage(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    headers = {"X-Request-Id": "from-a-page-1", "traceparent": "00-1", "Cookie": "a=b"}
    task = caller.post("/process", json={"prompt": "Hi", "model": "m", "temperature": 0}, headers=headers)
    followed(caller, json.loads(task.data)["stream_url"])
    [request] = upstream.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0,
        "max_tokens": 2000,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert request.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert (request.header("x-request-id"), request.header("traceparent")) == ("from-a-page-1", "00-1")
    assert request.header("cookie") is None


def test_messages_are_german_for_those_who_read_it(caller: FlaskClient) -> None:
    task = json.loads(caller.post("/process", json=PROMPT, headers={"Accept-Language": "de-DE,en;q=0.5"}).data)
    messages = [event.data["message"] for event in followed(caller, task["stream_url"]) if event.name == "status"]
    assert messages[3:] == ["KI-Modell verarbeitet Ihre Anfrage...", "Antwort wird empfangen..."]


def test_a_failure_is_told_as_failed_and_to_the_seeds_pages_as_error(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    upstream.answer(lambda conn: (conn.read_request(), conn.send(error_answer("429 Slow", "slow")))[0])
    task = posted(caller)
    own = followed(caller, f"/v1/tasks/{task['task_id']}/events")
    alias = followed(house.app.test_client(), task["stream_url"])
    for events in (own, alias):
        assert_in_order(events)
    assert (own[-1].name, own[-1].data["stage"], own[-1].data["error"]["code"]) == ("failed", "failed", "slow")
    assert (alias[-1].name, alias[-1].data) == ("error", {"error": own[-1].data["error"]["message"], "stage": "failed"})
    assert [event.id for event in alias] == [event.id for event in own]
    state = json.loads(caller.get(f"/v1/tasks/{task['task_id']}").data)
    assert (state["stage"], state["result"], state["error"]) == ("failed", None, own[-1].data["error"])


@pytest.mark.parametrize("alias", ["/stream/{}", "/v1/tasks/{}/events"])
def test_who_comes_later_gets_what_is_missing_and_then_nothing(caller: FlaskClient, alias: str) -> None:
    task_id = posted(caller)["task_id"]
    events = followed(caller, alias.format(task_id))
    later = told(caller.get(alias.format(task_id), headers={"Last-Event-ID": events[3].id}).data)
    assert later == events[4:]
    assert told(caller.get(f"{alias.format(task_id)}?starting_after=5").data) == events[5:]
    assert caller.get(alias.format(task_id), headers={"Last-Event-ID": events[-1].id}).status_code == 204


def test_a_task_that_is_cancelled_before_its_turn_never_reaches_an_upstream(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    task = posted(caller)
    for _ in range(2):
        answer = json.loads(caller.post(f"/v1/tasks/{task['task_id']}/cancel").data)
        assert answer == {"task_id": task["task_id"], "status": "cancelled"}
    events = followed(caller, f"/v1/tasks/{task['task_id']}/events")
    assert_in_order(events)
    assert [event.data.get("stage") for event in events] == ["queued", "failed"]
    assert events[-1].data["error"]["code"] == "cancelled"
    assert (upstream.accepted, house.slots_held()) == (0, 0)
    [line] = [line for line in house.log_lines() if line["key_id"] and line["route"] == "/v1/tasks"]
    assert (line["status"], line["end"], line["error"]) == (499, "cancelled", "cancelled")


def test_a_task_has_one_line_and_it_is_told_when_it_has_ended(
    build: Callable[..., House], upstream: ScriptedUpstream
) -> None:
    house = build(models=Models(prices={"gpt-test": Price(2.0, 8.0)}))
    caller = house.caller()
    upstream.answer(streaming(WHOLE))
    task = posted(caller)
    assert [line for line in house.log_lines() if line["route"] == "/v1/tasks"] == []
    followed(caller, task["stream_url"])
    [line] = [line for line in house.log_lines() if line["route"] == "/v1/tasks"]
    assert (line["status"], line["end"], line["model"], line["upstream"]) == (200, "done", "gpt-test", "default")
    assert line["usage"] == {"input_tokens": 3, "output_tokens": 5}
    assert house.slots_held() == 0
    assert "canary" not in house.logged()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"prompt": "a", "stream": True}, (400, "invalid_request")),
        ({"messages": "a"}, (400, "invalid_request")),
        ({"prompt": "a", "model": "other"}, (403, "model_not_allowed")),
    ],
)
def test_what_is_refused_takes_nothing_and_keeps_nothing(house: House, sent: Any, expected: tuple[int, str]) -> None:
    caller = house.caller(house.new_key(rpm=5, models=("gpt-test",)))
    assert code_of(caller.post("/v1/tasks", json=sent)) == expected
    answer = caller.post("/v1/tasks", json={"prompt": "a", "model": "gpt-test"})
    assert answer.headers["x-ratelimit-remaining-requests"] == "4"
    assert len(house.relay.streams._store._kept) == 1


def test_a_full_queue_is_told_and_takes_nothing(build: Callable[..., House]) -> None:
    house = build(tasks=Tasks(parallel=1, queue_max=2))
    caller = house.caller(house.new_key(rpm=5))
    for _ in range(2):
        posted(caller)
    answer = caller.post("/process", json=PROMPT)
    assert code_of(answer) == (429, "queue_full")
    assert (answer.headers["Retry-After"], answer.headers["x-ratelimit-remaining-requests"]) == ("5", "3")
    assert len(house.relay.streams._store._kept) == 2


def test_the_rate_is_hit_when_a_task_is_posted_and_the_same_task_costs_nothing(house: House) -> None:
    caller = house.caller(house.new_key(rpm=2))
    for _ in range(4):
        posted(caller, task_id=TASK_ID)
    posted(caller)
    assert code_of(caller.post("/process", json=PROMPT)) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("sections", "policy", "model"),
    [
        ({"tasks": Tasks(default_model="chosen")}, {}, "chosen"),
        ({"models": Models(prices={"first": Price(1, 1), "second": Price(1, 1)})}, {}, "first"),
        ({"models": Models(prices={"first": Price(1, 1), "second": Price(1, 1)})}, {"models": ("second",)}, "second"),
        ({"tasks": Tasks(default_model="chosen")}, {"models": ("only",)}, "only"),
    ],
)
def test_without_a_model_the_first_configured_one_that_the_key_may_use_answers(
    build: Callable[..., House], upstream: ScriptedUpstream, sections: Any, policy: Any, model: str
) -> None:
    house = build(**sections)
    task = json.loads(house.caller(house.new_key(**policy)).post("/process", json={"prompt": "a"}).data)
    assert followed(house.app.test_client(), task["stream_url"])[-1].data["model"] == model
    assert json.loads(upstream.requests[0].body)["model"] == model


def test_without_any_configured_model_one_must_be_named(build: Callable[..., House]) -> None:
    caller = build(models=Models(prices={})).caller()
    assert code_of(caller.post("/process", json={"prompt": "a"})) == (400, "invalid_request")
