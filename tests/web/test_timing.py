"""`Server-Timing`: what was measured, in milliseconds, and nothing that was not."""

import re
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from relay.accounting import Record
from relay.web.timing import server_timing
from tests.house import ASK, CHAT, STREAM, House
from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.served import Served, post

SENT = Record(
    "req_1", CHAT, begun_at=10.0, known_at=10.001, received_at=10.5, sent_at=10.502, connect_seconds=0.02,
    answered_at=11.0,
)  # fmt: skip


def test_every_part_is_told_and_the_callers_own_upload_is_none_of_them() -> None:
    assert server_timing(SENT, 11.004) == (
        "auth;dur=1.00, admit;dur=2.00, connect;dur=20.00, upstream;dur=478.00, overhead;dur=7.00"
    )


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        ({"connect_seconds": None}, "auth admit upstream overhead"),
        ({"answered_at": 0.0}, "auth admit connect"),
        ({"answered_at": 0.0, "connect_seconds": None, "sent_at": 0.0}, "auth"),
    ],
)
def test_what_was_not_measured_is_not_told(missing: dict[str, Any], names: str) -> None:
    assert re.findall(r"(\w+);dur", server_timing(replace(SENT, **missing), 11.0)) == names.split()


def timing(answer: Any) -> dict[str, float]:
    return {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([0-9.]+)", answer.headers["Server-Timing"])}


def test_an_answer_tells_where_its_time_went(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    def slowly(conn: Connection) -> None:
        conn.read_request()
        conn.stall(0.2)
        conn.send(json_answer({}))

    upstream.answer(slowly)
    told = timing(caller.post(CHAT, json=ASK))
    assert list(told) == ["auth", "admit", "connect", "upstream", "overhead"]
    assert 200 <= told["upstream"] < 2000
    assert 0 < told["auth"] + told["admit"] <= told["overhead"] < 200


@pytest.mark.parametrize(("key", "told"), [("rk_unknown", None), (None, ["auth"])])
def test_a_refusal_tells_what_it_came_through(house: House, key: str | None, told: list[str] | None) -> None:
    answer = house.caller(key).post(CHAT, data="{", content_type="application/json")
    assert told == (list(timing(answer)) if "Server-Timing" in answer.headers else None)


def test_a_connection_that_was_at_hand_took_no_time_to_connect(
    served: Served, house: House, upstream: ScriptedUpstream
) -> None:
    key, heads = house.new_key(), []
    for _ in range(2):
        served.run(post(CHAT, key, STREAM))
        heads.append(served.caller.recv(65_536).partition(b"\r\n\r\n")[0])
    assert [b"connect;dur=" in head for head in heads] == [True, False]
    assert [b"upstream;dur=" in head for head in heads] == [True, True]
