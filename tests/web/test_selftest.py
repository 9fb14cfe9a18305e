"""GET /selftest without a socket of its own: its frames, its bounds, its slot, its line in the log."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.schema import Cors, Demo, Server
from tests.house import House
from tests.web.served import Served

QUICK = "/selftest?frames=3&interval_ms=10"


def frames(body: bytes) -> list[dict[str, Any]]:
    """All but the terminal one."""
    *paced, terminal, rest = body.split(b"\n\n")
    assert (terminal, rest) == (b"data: [DONE]", b"")
    return [json.loads(frame.removeprefix(b"data: ")) for frame in paced]


def test_frames_are_numbered_and_stamped_and_end_with_a_terminal_one(caller: FlaskClient) -> None:
    answer = caller.get(QUICK)
    told = frames(answer.data)
    assert answer.status_code == 200
    assert [(frame["n"], frame["of"]) for frame in told] == [(1, 3), (2, 3), (3, 3)]
    assert told[2]["sent_at_ms"] - told[0]["sent_at_ms"] >= 19
    assert told[2]["elapsed_ms"] >= 20


def test_the_headers_are_those_of_every_stream(caller: FlaskClient) -> None:
    headers = caller.get(QUICK, headers={"X-Request-Id": "doctor-12345"}).headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["X-Request-Id"] == "doctor-12345"
    assert "Content-Length" not in headers


def test_the_first_frame_tells_what_arrived_by_name_alone(build: Callable[..., House]) -> None:
    origin = "https://app.example"
    caller = build(cors=Cors(origins=(origin,))).caller()
    sent = {"Last-Event-ID": "canary-7", "Origin": origin}
    told = frames(caller.get(QUICK, headers=sent).data)
    assert told[0]["arrived"] == {
        "protocol": "HTTP/1.1",
        "headers": ["Authorization", "Origin", "Last-Event-ID"],
        "origin_allowed": True,
    }
    assert b"canary" not in caller.get(QUICK, headers=sent).data
    assert not frames(caller.get(QUICK, headers={"Origin": "https://other.example"}).data)[0]["arrived"][
        "origin_allowed"
    ]


def test_what_the_query_leaves_open_comes_from_the_settings(build: Callable[..., House]) -> None:
    caller = build(demo=Demo(selftest_frames=2, selftest_interval_ms=10)).caller()
    assert len(frames(caller.get("/selftest").data)) == 2
    assert len(frames(caller.get("/selftest?frames=4").data)) == 4


def test_it_answers_below_the_path_prefix_too(build: Callable[..., House]) -> None:
    caller = build(server=Server(path_prefix="/sse")).caller()
    assert len(frames(caller.get("/sse" + QUICK).data)) == 3


@pytest.mark.parametrize("query", ["frames=0", "frames=201", "interval_ms=9", "silence_seconds=x"])
def test_what_is_out_of_bounds_is_refused(caller: FlaskClient, house: House, query: str) -> None:
    answer = caller.get(f"/selftest?{query}")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "invalid_request")
    assert house.slots_held() == 0


def test_without_a_key_nothing_is_sent(house: House) -> None:
    answer = house.app.test_client().get("/selftest?frames=0")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "missing_credentials")


def test_it_counts_on_the_rate_and_says_what_is_left(house: House) -> None:
    caller = house.caller(house.new_key(rpm=1))
    first = caller.get(QUICK)
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(frames(first.data)) == 3
    refused = caller.get(QUICK)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert house.slots_held() == 0


def test_it_holds_a_slot_until_its_end_can_be_read(house: House) -> None:
    answer = house.caller().get(QUICK, buffered=False)
    body = iter(answer.response)
    next(body)
    assert house.slots_held() == 1
    last = b""
    for last in body:
        if last == b"data: [DONE]\n\n":
            break
    assert last == b"data: [DONE]\n\n"
    assert house.slots_held() == 0
    answer.close()


def test_on_a_real_connection_the_slot_is_free_before_the_end_is_written(
    house: House, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    conclude = house.relay.pump.conclude
    monkeypatch.setattr(house.relay.pump, "conclude", lambda *end: (held.append(house.slots_held()), conclude(*end))[1])
    head = f"GET {QUICK} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {house.new_key()}\r\n\r\n"
    received = served.answer(head.encode())
    assert received.endswith(b"\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    assert received.count(b'"n":') == 3
    assert held == [0]


def test_a_caller_that_does_not_read_on_frees_its_slot(house: House) -> None:
    answer = house.caller().get(QUICK, buffered=False)
    next(iter(answer.response))
    answer.close()
    assert house.slots_held() == 0


def test_head_answers_headers_and_takes_nothing(house: House) -> None:
    answer = house.caller(house.new_key(rpm=1)).head(QUICK)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-ratelimit-remaining-requests"] == "1"
    assert house.slots_held() == 0


def test_its_line_stands_in_the_log(house: House) -> None:
    body = house.caller().get(QUICK).data
    line = house.log_lines()[-1]
    shown = {name: line[name] for name in ("route", "status", "end", "upstream", "key_id")}
    known = house.keys.get("key-1").id
    assert shown == {"route": "/selftest", "status": 200, "end": "done", "upstream": None, "key_id": known}
    assert len(body) > 100


def test_a_key_with_limits_on_tokens_and_money_may_ask_and_spends_nothing(house: House) -> None:
    caller = house.caller(house.new_key(rpm=10, tpm=100, budget_usd=0.01, budget_per="day", concurrent=1))
    for _ in range(3):
        assert len(frames(caller.get(QUICK).data)) == 3
    assert house.slots_held() == 0
