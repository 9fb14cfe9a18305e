"""What a token may not: each refusal with its code, readable by the page that holds it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.schema import Cors, Models, Price
from relay.core.tokens import Claims
from tests.house import ASK, CHAT, STREAM, House
from tests.live.bench.scripts import answering, json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.minting import PAGE, SECRETS, bearer, minted, refusal

Build = Callable[..., House]
OTHER = "https://other.example"
USAGE = {"usage": {"prompt_tokens": 60, "completion_tokens": 40}}


@pytest.fixture
def house(build: Build) -> House:
    return build(cors=Cors(origins=(PAGE, OTHER)), models=Models(prices={"gpt-test": Price(input=1.0, output=1.0)}))


def ask(page: FlaskClient, origin: str | None = PAGE, **members: Any) -> Any:
    return page.post(CHAT, json={**ASK, **members}, headers={"Origin": origin} if origin else {})


def assert_readable(answer: Any, origin: str = PAGE) -> None:
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "x-should-retry" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", [None, OTHER, "null", PAGE.upper(), PAGE + ".evil.net", PAGE + ":444", "", PAGE + "/"]
)
def test_a_token_with_origins_is_for_their_pages_alone(house: House, caller: FlaskClient, origin: str | None) -> None:
    page = bearer(house, caller, origins=[PAGE])
    assert refusal(ask(page, origin)) == (403, "origin_not_allowed", None)
    assert ask(page, PAGE).status_code == 200


def test_a_page_of_another_origin_can_read_why(house: House, caller: FlaskClient) -> None:
    assert_readable(ask(bearer(house, caller, origins=[PAGE]), OTHER), OTHER)


def test_a_token_for_models_opens_no_other(house: House, caller: FlaskClient) -> None:
    page = bearer(house, caller, models=["gpt-small"])
    answer = ask(page)
    assert refusal(answer) == (403, "model_not_allowed", "model")
    assert_readable(answer)


def test_a_token_without_the_scope_is_refused_before_its_body_is_read(
    house: House, caller: FlaskClient, upstream: ScriptedUpstream
) -> None:
    page = bearer(house, caller, scopes=["streams"])
    answer = page.post(CHAT, data=b"no json", content_type="application/json", headers={"Origin": PAGE})
    assert refusal(answer) == (403, "scope_not_allowed", None)
    assert_readable(answer)
    assert page.get("/v1/models").status_code == 200
    assert page.get("/v1/streams").status_code == 200
    assert refusal(bearer(house, caller, scopes=["chat"]).get("/v1/streams"))[:2] == (403, "scope_not_allowed")
    assert [request.path for request in upstream.requests] == ["/v1/models"]


def test_used_up_requests_never_refill_and_the_page_is_told_so(
    house: House, caller: FlaskClient, upstream: ScriptedUpstream
) -> None:
    page = bearer(house, caller, limits={"requests": 2})
    assert [ask(page).status_code for _ in range(2)] == [200, 200]
    answer = ask(page)
    assert refusal(answer) == (429, "rate_limit_exceeded", "limits.requests")
    assert (answer.headers["x-should-retry"], answer.headers.get("Retry-After")) == ("false", None)
    assert_readable(answer)
    assert ask(bearer(house, caller, limits={"requests": 2})).status_code == 200
    assert len(upstream.requests) == 3


def test_used_up_tokens_are_told(house: House, caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(json_answer(USAGE)))
    page = bearer(house, caller, limits={"tokens": 150})
    assert [ask(page).status_code for _ in range(2)] == [200, 200]
    answer = ask(page)
    assert refusal(answer) == (429, "tokens_rate_limit_exceeded", "limits.tokens")
    assert answer.headers["x-should-retry"] == "false"
    assert_readable(answer)


def test_a_used_up_cost_is_told(house: House, caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(json_answer(USAGE)))
    page = bearer(house, caller, limits={"cost_usd": 0.000250})
    assert [ask(page, max_tokens=100).status_code for _ in range(2)] == [200, 200]
    answer = ask(page, max_tokens=100)
    assert refusal(answer) == (429, "insufficient_quota", "limits.cost_usd")
    assert answer.headers["x-should-retry"] == "false"
    assert_readable(answer)


def test_a_model_without_a_price_is_not_for_a_token_with_a_limit_on_cost(house: House, caller: FlaskClient) -> None:
    page = bearer(house, caller, limits={"cost_usd": 1})
    assert refusal(ask(page, model="gpt-other")) == (403, "model_not_allowed", "model")


def test_a_token_has_its_own_places_beside_its_keys(house: House, caller: FlaskClient) -> None:
    page, other = bearer(house, caller, limits={"concurrent": 1}), bearer(house, caller, limits={"concurrent": 1})
    with page.post(CHAT, json=STREAM) as running:
        assert running.status_code == 200
        answer = ask(page)
        assert refusal(answer) == (429, "too_many_streams", "limits.concurrent")
        assert answer.headers["Retry-After"] == "1"
        assert_readable(answer)
        assert ask(other).status_code == 200
    assert ask(page).status_code == 200
    assert house.slots_held() == 0


def test_every_request_counts_on_the_key_too(house: House) -> None:
    key = house.caller(house.new_key(rpm=3, concurrent=1))
    page = bearer(house, key)
    assert ask(page).headers["x-ratelimit-remaining-requests"] == "1"
    with page.post(CHAT, json=STREAM):
        assert refusal(key.get("/v1/models"))[:2] == (429, "too_many_streams")
    assert refusal(ask(page)) == (429, "rate_limit_exceeded", None)


def test_an_expired_token_is_told_apart_and_is_no_guess(house: House, caller: FlaskClient) -> None:
    record, now = house.keys.get("key-1"), time.time()
    old = house.relay.signer.sign(Claims("relay", "relay", "tok_1", now - 60, now - 1), record.id, record.epoch)
    page = house.caller(old)
    answers = [ask(page) for _ in range(25)]
    assert {refusal(answer) for answer in answers} == {(401, "token_expired", None)}
    assert_readable(answers[0])


def test_tampering_is_a_guess_and_counts_as_one(house: House, caller: FlaskClient) -> None:
    token = minted(caller)["value"]
    page = house.caller(token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:])
    came = [refusal(ask(page))[1] for _ in range(22)]
    assert came == ["invalid_api_key"] * 20 + ["auth_rate_limited"] * 2
    assert ask(house.caller(token)).status_code == 200


def test_the_bodies_of_all_that_is_not_valid_are_the_same(house: House, caller: FlaskClient) -> None:
    fields = minted(caller)
    caller.delete(f"{SECRETS}/{fields['id']}")
    unknown_key = house.caller("rk_" + "0" * 38)
    others = [house.caller(text) for text in (fields["value"], "ek_", "ek_a.b.c", fields["value"] + "=")]
    assert len({ask(page).data for page in (unknown_key, *others)}) == 1


def test_a_revoked_key_revokes_its_tokens(house: House, caller: FlaskClient) -> None:
    page = bearer(house, caller)
    house.keys.revoke("key-1", 0.0)
    assert refusal(ask(page))[:2] == (401, "invalid_api_key")
