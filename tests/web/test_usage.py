"""GET /v1/usage: a key's own figures, its limits and what remains; and what the ledger gets from requests."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.schema import Models, Price, Server
from relay.core.caller import Caller
from relay.core.keys import KeyPolicy, mint_key
from relay.stores.database import StoreError
from relay.stores.ledger import Ledger
from relay.web import usage
from tests.entries import entry
from tests.house import ASK, CHAT, House
from tests.live.bench.scripts import answering, json_answer
from tests.live.bench.upstream import ScriptedUpstream

Build = Callable[..., House]
NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)
NOTHING = {"requests": 0, "errors": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0, "cost_unknown": 0}


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "time", SimpleNamespace(time=NOON.timestamp))


def asked(caller: FlaskClient) -> dict[str, Any]:
    response = caller.get("/v1/usage")
    assert response.status_code == 200
    fields: dict[str, Any] = response.get_json()
    return fields


def at(moment: str) -> float:
    return datetime.fromisoformat(f"{moment}Z").timestamp()


def key_id(house: House, name: str = "key-1") -> str:
    return house.keys.get(name).id


@pytest.mark.usefixtures("noon")
def test_a_key_sees_what_it_used_today_and_this_month(house: House) -> None:
    caller = house.caller()
    times = [at("2026-12-31T23:59"), at("2027-01-01T00:00"), at("2027-01-14T23:59"), at("2027-01-15T00:00")]
    times.append(at("2027-01-15T11:00"))
    house.relay.ledger.write([entry(n, key_id=key_id(house), begun_at=time) for n, time in enumerate(times)])
    house.relay.ledger.write([entry(9, key_id="key_other", begun_at=times[-1])])
    fields = asked(caller)
    two = {**NOTHING, "requests": 2, "input_tokens": 20, "output_tokens": 40, "cost_usd": 0.5}
    four = {**NOTHING, "requests": 4, "input_tokens": 40, "output_tokens": 80, "cost_usd": 1.0}
    assert fields["key_id"] == key_id(house)
    assert fields["today"] == {"since": "2027-01-15T00:00:00Z", **two}
    assert fields["month"] == {"since": "2027-01-01T00:00:00Z", **four}


def test_a_new_key_has_used_nothing(caller: FlaskClient) -> None:
    fields = asked(caller)
    for span in ("today", "month"):
        assert {name: fields[span][name] for name in NOTHING} == NOTHING


def test_limits_and_what_remains_are_told(house: House) -> None:
    policy = {"rpm": 60, "concurrent": 5, "tpm": 1000, "budget_usd": 2.5, "budget_per": "day", "models": ("gpt-test",)}
    caller = house.caller(house.new_key(**policy, max_output_tokens=99))
    fields = asked(caller)
    assert fields["limits"] == {**policy, "models": ["gpt-test"], "max_output_tokens": 99}
    assert fields["remaining"] == {"requests": 59, "concurrent": 5, "tokens": 1000, "budget_usd": 2.5}
    assert asked(caller)["remaining"]["requests"] == 58


def test_where_nothing_limits_a_key_it_says_null(caller: FlaskClient) -> None:
    fields = asked(caller)
    assert set(fields["limits"].values()) == {None}
    assert set(fields["remaining"].values()) == {None}


def test_slots_that_are_taken_do_not_remain(house: House) -> None:
    caller = house.caller(house.new_key(concurrent=3))
    other = Caller(key_id(house), KeyPolicy())
    request = SimpleNamespace(limit_headers=[], record=None)
    assert asked(caller)["remaining"]["concurrent"] == 3
    with house.relay.gate.admit(other, request), house.relay.gate.admit(other, request):
        assert asked(caller)["remaining"]["concurrent"] == 1
        with house.relay.gate.admit(other, request):
            assert caller.get("/v1/usage").status_code == 429
    assert house.slots_held() == 0


def test_to_ask_is_a_request_with_the_headers_of_one(house: House) -> None:
    caller = house.caller(house.new_key(rpm=2))
    first = caller.get("/v1/usage")
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert (first.headers["Cache-Control"], first.content_type) == ("no-store", "application/json")
    assert [caller.get("/v1/usage").status_code for _ in range(2)] == [200, 429]
    house.relay.bookkeeper.flush()
    sums = house.relay.ledger.sums(0, key_id(house))
    assert (sums.requests, sums.errors) == (3, 1)
    assert {line["key_id"] for line in house.log_lines()} == {key_id(house)}


def test_nobody_sees_it_without_a_key(house: House) -> None:
    stranger = house.app.test_client()
    assert stranger.get("/v1/usage").status_code == 401
    assert stranger.get("/v1/usage", headers={"X-API-Key": mint_key()}).status_code == 401
    assert house.caller().get("/v1/usage?api_key=x").status_code == 400
    house.relay.bookkeeper.flush()
    assert house.relay.ledger.sums(0).requests == 0


def test_it_is_read_only_and_has_a_head(caller: FlaskClient) -> None:
    assert caller.post("/v1/usage").status_code == 405
    head = caller.head("/v1/usage")
    assert (head.status_code, head.data) == (200, b"")


def test_a_ledger_that_cannot_be_reached_is_503(
    house: House, caller: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*asked: object) -> None:
        raise StoreError("canary-away")

    monkeypatch.setattr(Ledger, "sums", away)
    refused = caller.get("/v1/usage")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (503, "store_unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert b"canary" not in refused.data
    assert house.slots_held() == 0


def test_it_answers_below_the_prefix_too(build: Build) -> None:
    assert build(server=Server(path_prefix="/sse")).caller().get("/sse/v1/usage").status_code == 200


def test_an_answer_is_in_the_sums_a_turn_later(build: Build, upstream: ScriptedUpstream) -> None:
    house = build(models=Models(prices={"gpt-test": Price(input=2.0, output=8.0)}))
    caller = house.caller()
    upstream.answer(answering(json_answer({"usage": {"prompt_tokens": 1000, "completion_tokens": 500}})))
    assert caller.post(CHAT, json=ASK).get_json()["usage"]["prompt_tokens"] == 1000
    assert asked(caller)["month"]["requests"] == 0
    house.relay.bookkeeper.flush()
    used = {**NOTHING, "requests": 2, "input_tokens": 1000, "output_tokens": 500, "cost_usd": 0.006}
    month = asked(caller)["month"]
    assert {name: month[name] for name in NOTHING} == used


def test_the_database_holds_nothing_that_anybody_said(house: House, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    key = house.new_key()
    caller = house.caller(key)
    upstream.answer(answering(json_answer({"choices": [{"message": {"content": "canary-answer"}}]})))
    sent = {"X-Request-Id": key, "Origin": f"https://{key}"}
    assert b"canary" in caller.post(CHAT, json={**ASK, "model": key}, headers=sent).data
    assert b"canary" in caller.post(CHAT, json={**ASK, "canary-name": 1}).data
    assert caller.post(CHAT, data=b"canary-no-json", content_type="application/json").status_code == 400
    house.relay.bookkeeper.flush()
    assert house.relay.ledger.sums(0).requests == 3
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("relay.db*"))
    assert b"gpt-test" in stored
    assert b"canary" not in stored
    assert key[7:-4].encode() not in stored
    assert house.relay.targets[0].api_key.encode() not in stored
