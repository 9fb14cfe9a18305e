"""The relayed routes, end to end in this process: what a caller gets, what an upstream gets, and the one log line."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.schema import Models, Price, Server, Upstream
from relay.core.routes import MODELS, ROUTES, Route
from relay.pump.iteration import Truncated
from relay.stores.database import StoreError
from tests.house import ASK, CHAT, STREAM, UPSTREAM_KEY, House
from tests.live.bench.conversation import Connection
from tests.live.bench.ports import free_port
from tests.live.bench.scripts import (
    answering,
    chat_frame,
    chat_stream,
    error_answer,
    json_answer,
    streaming,
    usage_frame,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.test_accounting import FIELDS

FLAT = "/api/chat/stream"
POSTED = [route for route in ROUTES if route is not MODELS]


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, json.loads(answer.data)["error"]["code"]


def test_a_stream_comes_as_the_upstream_says_it(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    answer = caller.post(CHAT, json=STREAM)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.data == b"".join(chat_stream("Hello", " world"))


def test_json_stays_json(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    answer = caller.post(CHAT, json=ASK)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert json.loads(answer.data)["choices"][0]["message"]["content"] == "Hello world"


@pytest.mark.parametrize("route", POSTED, ids=lambda route: route.path)
def test_every_route_goes_to_its_place_below_the_base_url(
    caller: FlaskClient, upstream: ScriptedUpstream, route: Route
) -> None:
    upstream.answer(answering(json_answer({"ok": True})))
    assert caller.post(route.path, json={"model": "m", "messages": []}).status_code == 200
    assert (upstream.requests[0].method, upstream.requests[0].path) == ("POST", "/v1" + route.upstream_path)


def test_everything_is_below_the_prefix_too_and_logged_under_its_own_name(build: Callable[..., House]) -> None:
    house = build(server=Server(path_prefix="/sse"))
    caller = house.caller()
    for path in (CHAT, "/sse" + CHAT):
        assert caller.post(path, json=ASK).data
    assert [line["route"] for line in house.log_lines()] == [CHAT, CHAT]
    assert caller.post("/other" + CHAT, json=ASK).status_code == 404


def test_the_seed_route_always_streams_with_its_defaults(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    answer = caller.post(FLAT, json={"model": "m", "messages": [], "temperature": 0})
    assert answer.data
    assert answer.content_type.startswith("text/event-stream")
    asked = json.loads(upstream.requests[0].body)
    assert (asked["stream"], asked["temperature"], asked["max_tokens"]) == (True, 0, 2000)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("caller.req_1-x", r"caller\.req_1-x"),
        (None, r"req_[0-9a-f]{22}"),
        ("short", r"req_.{22}"),
        ("a b\tc de", "req_.*"),
    ],
)
def test_a_request_has_one_name_everywhere(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream, sent: str | None, expected: str
) -> None:
    answer = caller.post(CHAT, json=ASK, headers={"X-Request-Id": sent} if sent else {})
    assert answer.data
    name = answer.headers["X-Request-Id"]
    assert re.fullmatch(expected, name)
    assert upstream.requests[0].header("x-request-id") == name
    assert [line["request_id"] for line in house.log_lines()] == [name]


def test_the_line_of_a_stream_is_complete(build: Callable[..., House], upstream: ScriptedUpstream) -> None:
    house = build(models=Models(prices={"gpt-test": Price(2.0, 8.0)}))
    upstream.answer(streaming([chat_frame("Hel"), chat_frame("lo", "stop"), usage_frame(100, 50), b"data: [DONE]\n\n"]))
    body = house.caller().post(CHAT, json=STREAM, headers={"Origin": "https://app.example"}).data
    (line,) = house.log_lines()
    assert line.keys() == FIELDS
    fixed = {name: line[name] for name in ("route", "model", "status", "upstream", "upstream_status", "end", "error")}
    assert list(fixed.values()) == [CHAT, "gpt-test", 200, "default", 200, "done", None]
    assert line["origin"] == "https://app.example"
    assert line["key_id"] == house.keys.list()[0].id
    assert (line["usage"], line["cost_usd"]) == ({"input_tokens": 100, "output_tokens": 50}, 0.0006)
    assert line["bytes_out"] == len(body)
    assert b"usage" not in body, "the caller did not ask for it"
    assert 0 < line["overhead_ms"] <= line["ttft_ms"] <= line["duration_ms"] < 5000


def test_nothing_that_was_said_or_is_secret_is_in_the_log(house: House, upstream: ScriptedUpstream) -> None:
    echo = f"canary-answer {UPSTREAM_KEY}"
    upstream.answer(streaming([chat_frame(echo), *chat_stream("x")]))
    key = house.new_key()
    headers = {"Cookie": "canary-cookie", "User-Agent": "canary-agent", "traceparent": "canary-trace"}
    answer = house.caller(key).post(f"{CHAT}?x=canary-query", json=STREAM, headers=headers)
    assert b"canary-answer" in answer.data
    assert UPSTREAM_KEY.encode() not in answer.data
    house.caller("rk_canary_unknown").post(CHAT, json=STREAM)
    logged = house.logged()
    assert len(house.log_lines()) == 2
    assert "canary" not in logged
    assert key[3:15] not in logged
    assert key[-12:] not in logged


def test_every_request_has_one_line_also_one_that_meets_no_route(house: House, caller: FlaskClient) -> None:
    stranger = house.app.test_client()
    stranger.get("/nowhere/canary")
    stranger.post(CHAT, json=ASK)
    stranger.get("/health/live")
    assert caller.post(CHAT, json=ASK).data
    assert [(line["route"], line["status"], line["error"]) for line in house.log_lines()] == [
        ("unknown", 404, "route_not_found"),
        (CHAT, 401, "missing_credentials"),
        ("/health/live", 200, None),
        (CHAT, 200, None),
    ]


def test_answers_and_refusals_carry_the_limits(house: House) -> None:
    caller = house.caller(house.new_key(rpm=2))
    for remaining in ("1", "0"):
        answer = caller.post(CHAT, json=ASK)
        assert answer.headers["x-ratelimit-remaining-requests"] == remaining
        assert answer.headers["RateLimit-Policy"] == '"requests";q=2;w=60'
    answer = caller.post(CHAT, json=ASK)
    assert code_of(answer) == (429, "rate_limit_exceeded")
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_one_stream_too_many_is_refused_and_reaches_no_upstream(house: House, upstream: ScriptedUpstream) -> None:
    caller = house.caller(house.new_key(concurrent=1, rpm=5))
    running = caller.post(CHAT, json=STREAM)  # nobody reads it to its end yet
    answer = caller.post(CHAT, json=STREAM)
    assert code_of(answer) == (429, "too_many_streams")
    assert len(upstream.requests) == 1
    running.close()
    assert caller.post(CHAT, json=ASK).headers["x-ratelimit-remaining-requests"] == "3", "the refused one was counted"


@pytest.mark.parametrize("refused", ["body", "model", "upstream"])
def test_whatever_refuses_leaves_no_slot_taken(house: House, upstream: ScriptedUpstream, refused: str) -> None:
    upstream.answer(answering(error_answer("401 No", "x")))
    caller = house.caller(house.new_key(concurrent=1, models=("gpt-test",)))
    for _ in range(3):
        body = {"body": "[]", "model": '{"model":"other"}', "upstream": json.dumps(ASK)}[refused]
        answer = caller.post(CHAT, data=body, content_type="application/json")
        assert answer.status_code in (400, 403, 502)
        assert house.slots_held() == 0


def test_an_upstreams_error_passes_with_its_status_and_its_limits(house: House, upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(error_answer("429 Slow Down", "theirs", "x-ratelimit-remaining-requests: 7")))
    answer = house.caller(house.new_key(rpm=60)).post(CHAT, json=STREAM)
    assert code_of(answer) == (429, "theirs")
    assert answer.headers["Relay-Error-Source"] == "upstream"
    assert answer.headers.getlist("x-ratelimit-remaining-requests") == ["7"]


def test_an_upstream_that_is_not_there_is_502(build: Callable[..., House]) -> None:
    house = build(upstreams=(Upstream(base_url=f"http://127.0.0.1:{free_port()}/v1", api_key=UPSTREAM_KEY),))
    answer = house.caller(house.new_key(concurrent=1)).post(CHAT, json=STREAM)
    assert code_of(answer) == (502, "upstream_unreachable")
    assert "x-should-retry" not in answer.headers
    assert house.slots_held() == 0
    assert [(line["status"], line["error"]) for line in house.log_lines()] == [(502, "upstream_unreachable")]


def test_an_upstream_that_dies_within_its_head_is_not_taken_for_a_whole_answer(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/js")
        conn.finish()
        conn.wait_closed(2)

    upstream.answer(script)
    try:
        assert caller.post(CHAT, json=ASK).status_code == 502
    except Truncated:
        assert [line["end"] for line in house.log_lines()] == ["truncated"]


def test_a_store_that_is_gone_is_503(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*arguments: object) -> Any:
        raise StoreError("database: canary")

    caller = house.caller()
    monkeypatch.setattr(house.relay.authenticator._keys, "find", find)
    answer = caller.post(CHAT, json=ASK)
    assert code_of(answer) == (503, "store_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert [(line["end"], line["error"]) for line in house.log_lines()] == [("shed", "store_unavailable")]


def test_while_the_listener_closes_new_requests_are_sent_elsewhere(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    house.relay.lifecycle.draining = True
    assert caller.post(CHAT, json=ASK).status_code == 200, "the lame duck still serves"
    house.relay.lifecycle.closed = True
    answer = caller.post(CHAT, json=ASK)
    assert code_of(answer) == (503, "draining")
    assert answer.headers["Retry-After"] == "1"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(("rpm", "status", "seconds_min"), [(1, 429, 0.05), (100, 200, 0.0)])
def test_only_who_asks_too_often_waits_for_the_answer(house: House, rpm: int, status: int, seconds_min: float) -> None:
    caller = house.caller(house.new_key(rpm=rpm))
    caller.post(CHAT, json=ASK)
    begun = time.monotonic()
    assert caller.post(CHAT, json=ASK).status_code == status
    assert seconds_min <= time.monotonic() - begun < seconds_min + 1
