"""Tokens per minute, budgets and output ceilings of keys, from the request's body to the refusal."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.schema import Models, Price
from relay.stores.budgets import Budgets
from relay.stores.database import StoreError
from tests.house import ASK, CHAT, STREAM, House
from tests.live.bench.scripts import answering, error_answer, json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.minting import bearer, refusal

Build = Callable[..., House]
# one dollar a million tokens: 100 tokens are 0.0001 dollars
PRICES = Models(prices={"gpt-test": Price(input=1.0, output=1.0)})
HUNDRED = {"usage": {"prompt_tokens": 60, "completion_tokens": 40}}
ROUTES = [
    ("/v1/chat/completions", "max_tokens"),
    ("/v1/completions", "max_tokens"),
    ("/v1/messages", "max_tokens"),
    ("/v1/responses", "max_output_tokens"),
]


@pytest.fixture
def house(build: Build) -> House:
    return build(models=PRICES)


@pytest.fixture(autouse=True)
def hundred(upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(json_answer(HUNDRED)))


def key(house: House, **policy: Any) -> FlaskClient:
    return house.caller(house.new_key(**policy))


def ask(caller: FlaskClient, path: str = CHAT, **members: Any) -> Any:
    return caller.post(path, json={**ASK, **members})


def sent(upstream: ScriptedUpstream, number: int = -1) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(upstream.requests[number].body)
    return body


def test_a_minute_of_tokens_is_paid_afterwards_and_then_refused(house: House, upstream: ScriptedUpstream) -> None:
    caller = key(house, tpm=150)
    assert [ask(caller).headers["x-ratelimit-remaining-tokens"] for _ in range(2)] == ["150", "50"]
    answer = ask(caller)
    assert refusal(answer) == (429, "tokens_rate_limit_exceeded", None)
    told = {name: answer.headers[f"x-ratelimit-{name}-tokens"] for name in ("limit", "remaining")}
    assert told == {"limit": "150", "remaining": "0"}
    assert 55 <= int(answer.headers["Retry-After"]) <= 60
    assert len(upstream.requests) == 2
    assert ask(key(house, tpm=150)).status_code == 200


def test_both_limits_stand_in_one_header(house: House) -> None:
    answer = ask(key(house, tpm=150, rpm=9))
    assert answer.headers.getlist("RateLimit-Policy") == ['"requests";q=9;w=60, "tokens";q=150;w=60']
    assert answer.headers.getlist("RateLimit") == ['"requests";r=8;t=60, "tokens";r=150;t=0']


def test_a_refusal_for_tokens_takes_no_request(house: House) -> None:
    caller = key(house, tpm=100, rpm=9)
    ask(caller)
    answers = [ask(caller) for _ in range(3)]
    assert {answer.headers["x-ratelimit-remaining-requests"] for answer in answers} == {"8"}
    assert {answer.status_code for answer in answers} == {429}
    assert caller.get("/v1/models").status_code == 200


def test_a_budget_is_reserved_at_its_most_and_settled_at_what_it_was(house: House, upstream: ScriptedUpstream) -> None:
    caller = key(house, budget_usd=0.000650)
    assert [ask(caller, max_tokens=400).status_code for _ in range(2)] == [200, 200]
    budget = caller.get("/v1/usage").get_json()
    assert budget["budget"] == {"spent_usd": 0.0002, "estimated_usd": 0.0, "reserved_usd": 0.0}
    assert budget["remaining"]["budget_usd"] == 0.00045
    answer = ask(caller, max_tokens=500)
    assert refusal(answer) == (429, "insufficient_quota", "budget_usd")
    assert (answer.headers["x-should-retry"], answer.headers.get("Retry-After")) == ("false", None)
    assert ask(caller, max_tokens=400).status_code == 200
    assert len(upstream.requests) == 3


def test_a_request_without_a_bound_is_reserved_for_what_is_usual(house: House) -> None:
    assert refusal(ask(key(house, budget_usd=0.001000)))[1] == "insufficient_quota"
    assert ask(key(house, budget_usd=0.001200)).status_code == 200
    assert refusal(ask(key(house, budget_usd=0.001200), n=2))[1] == "insufficient_quota"


def test_what_an_upstream_refuses_costs_nothing(house: House, upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(error_answer(500, "server_error")))
    caller = key(house, budget_usd=0.01, tpm=100)
    assert [ask(caller).status_code for _ in range(3)] == [500, 500, 500]
    fields = caller.get("/v1/usage").get_json()
    assert fields["budget"]["spent_usd"] == fields["budget"]["reserved_usd"] == 0
    assert fields["remaining"]["tokens"] == 100


def test_an_answer_without_usage_is_charged_by_guess_and_marked(house: House, upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(json_answer({"text": "x" * 392})))
    caller = key(house, budget_usd=0.01)
    assert ask(caller, max_tokens=10).status_code == 200
    budget = caller.get("/v1/usage").get_json()["budget"]
    assert budget["spent_usd"] == budget["estimated_usd"] > 0.0001
    assert budget["reserved_usd"] == 0


def test_a_request_that_its_rate_refuses_gives_back_all(house: House) -> None:
    caller = key(house, budget_usd=0.01, rpm=1, tpm=1000)
    page = bearer(house, key(house, rpm=2), limits={"requests": 5, "cost_usd": 0.01})
    assert [ask(caller).status_code for _ in range(3)] == [200, 429, 429]
    assert [ask(page).status_code for _ in range(3)] == [200, 429, 429]
    [counted] = [total for _, total in house.relay.limits.totals._totals.values()]
    assert (counted.requests, counted.nano_usd) == (1, 100_000)
    now = 4_000_000_000.0
    for name in ("key-1", "key-2"):
        record = house.keys.get(name)
        assert house.relay.unsettled.budgets.look(record.id, "2000-01", now).reserved == 0
    assert house.slots_held() == 0


def test_a_key_with_a_budget_cannot_use_what_has_no_price(house: House) -> None:
    caller = key(house, budget_usd=10)
    assert refusal(ask(caller, model="gpt-other")) == (403, "model_not_allowed", "model")
    assert caller.get("/v1/models").status_code == 200


def test_a_budget_that_cannot_be_asked_is_503(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*asked: object) -> None:
        raise StoreError("canary-away")

    caller = key(house, budget_usd=10)
    monkeypatch.setattr(Budgets, "reserve", away)
    answer = ask(caller)
    assert refusal(answer)[:2] == (503, "store_unavailable")
    assert b"canary" not in answer.data
    assert house.slots_held() == 0


def test_what_could_not_be_settled_is_settled_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = key(house, budget_usd=10)
    with monkeypatch.context() as patch:
        patch.setattr(Budgets, "settle", lambda *asked: _raise(StoreError("away")))
        assert ask(caller).status_code == 200
    before = caller.get("/v1/usage").get_json()["budget"]
    house.relay.unsettled.retry()
    after = caller.get("/v1/usage").get_json()["budget"]
    assert (before["spent_usd"], before["reserved_usd"] > 0) == (0.0, True)
    assert (after["spent_usd"], after["reserved_usd"]) == (0.0001, 0.0)


@pytest.mark.parametrize(("path", "member"), ROUTES)
def test_a_ceiling_is_set_where_none_was_asked_for(
    house: House, upstream: ScriptedUpstream, path: str, member: str
) -> None:
    caller = key(house, max_output_tokens=50)
    assert ask(caller, path).status_code == 200
    assert sent(upstream) == {**ASK, member: 50}
    assert ask(caller, path, **{member: 50}).status_code == 200
    assert refusal(ask(caller, path, **{member: 51})) == (400, "request_too_large_for_limit", member)
    assert len(upstream.requests) == 2


def test_the_seed_route_keeps_its_own_default_below_the_ceiling(house: House, upstream: ScriptedUpstream) -> None:
    for ceiling, wanted in ((50, 50), (5000, 2000)):
        body = {"model": "gpt-test", "messages": []}
        key(house, max_output_tokens=ceiling).post("/api/chat/stream", json=body)
        assert (sent(upstream)["max_tokens"], sent(upstream)["temperature"]) == (wanted, 0.7)


def test_without_a_ceiling_the_body_is_not_touched(house: House, upstream: ScriptedUpstream) -> None:
    body = b'{ "model":"gpt-test","max_tokens":5 , "max_tokens":6}'
    assert key(house).post(CHAT, data=body, content_type="application/json").status_code == 200
    assert upstream.requests[0].body == body


def test_a_tokens_ceiling_is_the_lower_of_both(house: House, upstream: ScriptedUpstream) -> None:
    parent = key(house, max_output_tokens=50)
    ask(bearer(house, parent, max_output_tokens=20))
    ask(bearer(house, parent))
    assert [sent(upstream, number)["max_tokens"] for number in (0, 1)] == [20, 50]


def test_a_token_sees_what_remains_of_its_own_and_nothing_of_its_key(house: House) -> None:
    parent = key(house, budget_usd=5, rpm=60)
    wish = {"requests": 9, "tokens": 1000, "concurrent": 2, "cost_usd": 0.1}
    page = bearer(house, parent, sub="user-42", limits=wish, models=["gpt-test"])
    ask(page)
    fields = page.get("/v1/usage").get_json()
    assert fields["limits"] == {**wish, "max_output_tokens": None, "models": ["gpt-test"]}
    assert fields["remaining"] == {"requests": 7, "tokens": 900, "concurrent": 2, "cost_usd": 0.0999}
    assert (fields["subject"], fields["scopes"]) == ("user-42", ["chat", "tasks", "streams"])
    assert not {"today", "month", "budget", "key_id"} & set(fields)


def test_a_token_without_limits_says_null(house: House) -> None:
    fields = bearer(house, key(house)).get("/v1/usage").get_json()
    assert set(fields["remaining"].values()) == {None}


def test_unlimited_keys_ask_no_store_for_money(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = key(house)
    for store, names in ((house.relay.limits.token_rates, ("look", "charge")), (house.relay.limits.totals, ("take",))):
        for name in names:
            monkeypatch.setattr(store, name, lambda *asked: _raise(AssertionError(asked)))
    monkeypatch.setattr(Budgets, "reserve", lambda *asked: _raise(AssertionError(asked)))
    assert ask(caller).status_code == 200
    assert caller.post(CHAT, json=STREAM).status_code == 200


def _raise(error: BaseException) -> None:
    raise error
