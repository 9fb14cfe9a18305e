"""POST and DELETE /v1/client_secrets, and what a page can do with what it gets."""

import base64
import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from relay.stores.database import StoreError
from relay.stores.keys import KeyStore
from tests.house import ASK, CHAT, House
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.minting import PAGE, SECRETS, bearer, minted, refusal


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_a_key_mints_a_token_as_the_contract_says(caller: FlaskClient) -> None:
    answer = caller.post(SECRETS, json={"expires_after": {"seconds": 600}, "sub": "user-42"})
    fields = answer.get_json()
    assert list(fields) == ["object", "value", "id", "expires_at"]
    assert (fields["object"], fields["value"][:3], fields["id"][:4]) == ("relay.client_secret", "ek_", "tok_")
    assert abs(fields["expires_at"] - time.time() - 600) < 5
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_token_says_what_was_asked_for_and_names_its_key(house: House) -> None:
    wish = {
        "sub": "user-42",
        "models": ["gpt-test"],
        "scopes": ["chat"],
        "origins": [PAGE],
        "limits": {"requests": 20, "tokens": 20_000, "concurrent": 2, "cost_usd": 0.1},
        "max_output_tokens": 1000,
    }
    fields = minted(house.caller(), **wish)
    claims = claims_of(fields["value"])
    times = {"iat": claims["iat"], "exp": claims["iat"] + 600}
    assert claims == {"iss": "relay", "aud": "relay", "jti": fields["id"], **times, **wish}
    head = json.loads(base64.urlsafe_b64decode(fields["value"][3:].split(".")[0] + "=="))
    assert head == {"alg": "HS256", "typ": "JWT", "kid": house.keys.get("key-1").id}


def test_a_token_opens_what_its_key_does(house: House, caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    page = bearer(house, caller)
    assert page.post(CHAT, json=ASK).status_code == 200
    assert page.get("/v1/models").status_code == 200
    assert {line["key_id"] for line in house.log_lines()} == {house.keys.get("key-1").id}
    assert "ek_" not in str(upstream.requests[0].headers)


@pytest.mark.parametrize(
    ("wish", "member"),
    [
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": 901}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": "600"}}, "expires_after.seconds"),
        ({"models": ["gpt-test", "gpt-other"]}, "models"),
        ({"origins": ["https://other.example"]}, "origins"),
        ({"origins": ["null"]}, "origins[0]"),
        ({"scopes": ["chat", "admin"]}, "scopes[1]"),
        ({"scopes": []}, "scopes"),
        ({"limits": {"concurrent": 4}}, "limits.concurrent"),
        ({"limits": {"cost_usd": 2.51}}, "limits.cost_usd"),
        ({"limits": {"requests": 0}}, "limits.requests"),
        ({"limits": {"request": 1}}, "limits.request"),
        ({"max_output_tokens": 100}, "max_output_tokens"),
        ({"sub": "a\nb"}, "sub"),
        ({"rpm": 5}, "rpm"),
    ],
)
def test_more_than_the_key_may_is_a_400_that_names_the_member(house: House, wish: Any, member: str) -> None:
    policy = {"models": ("gpt-test",), "origins": (PAGE,), "concurrent": 3, "budget_usd": 2.5, "max_output_tokens": 99}
    key = house.caller(house.new_key(**policy))
    assert refusal(key.post(SECRETS, json=wish)) == (400, "invalid_request", member)
    assert key.post(SECRETS, json={"models": ["gpt-test"], "limits": {"concurrent": 3}}).status_code == 200


def test_a_token_that_would_not_fit_into_a_header_is_refused(caller: FlaskClient) -> None:
    wish = {"models": [f"model-{number}-{'x' * 100}" for number in range(40)]}
    assert refusal(caller.post(SECRETS, json=wish)) == (400, "invalid_request", "models")


def test_a_token_mints_no_token_and_ends_none(house: House, caller: FlaskClient) -> None:
    fields = minted(caller)
    page = house.caller(fields["value"])
    assert refusal(page.post(SECRETS, json={})) == (403, "scope_not_allowed", None)
    assert refusal(page.delete(f"{SECRETS}/{fields['id']}")) == (403, "scope_not_allowed", None)
    assert page.get("/v1/models").status_code == 200


def test_a_stranger_mints_nothing(house: House) -> None:
    assert house.app.test_client().post(SECRETS, json={}).status_code == 401


def test_minting_is_a_request_with_the_limits_of_one(house: House) -> None:
    key = house.caller(house.new_key(rpm=1))
    assert key.post(SECRETS, json={}).headers["x-ratelimit-remaining-requests"] == "0"
    assert refusal(key.post(SECRETS, json={}))[:2] == (429, "rate_limit_exceeded")


def test_a_revoked_token_is_like_one_that_never_was(house: House, caller: FlaskClient) -> None:
    ended, other = minted(caller), minted(caller)
    unknown = house.caller("ek_x.y.z").get("/v1/models").data
    answer = caller.delete(f"{SECRETS}/{ended['id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert house.caller(ended["value"]).get("/v1/models").data == unknown
    assert house.caller(other["value"]).get("/v1/models").status_code == 200
    assert caller.delete(f"{SECRETS}/{ended['id']}").status_code == 204


def test_another_keys_token_is_not_ended(house: House, caller: FlaskClient) -> None:
    fields = minted(caller)
    stranger = house.caller()
    assert stranger.delete(f"{SECRETS}/{fields['id']}").status_code == 204
    assert stranger.delete(f"{SECRETS}/{house.keys.get('key-1').id}").status_code == 204
    assert house.caller(fields["value"]).get("/v1/models").status_code == 200


def test_what_is_no_tokens_id_is_told(caller: FlaskClient) -> None:
    assert refusal(caller.delete(f"{SECRETS}/{'x' * 65}"))[:2] == (400, "invalid_request")
    assert refusal(caller.delete(f"{SECRETS}/a%00b"))[:2] == (400, "invalid_request")


def test_a_store_that_cannot_be_reached_is_503(
    house: House, caller: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*asked: object) -> None:
        raise StoreError("canary-away")

    caller.get("/v1/models")
    monkeypatch.setattr(KeyStore, "parent", away)
    monkeypatch.setattr(house.relay.revocations, "revoke", away)
    for answer in (caller.post(SECRETS, json={}), caller.delete(f"{SECRETS}/tok_1")):
        assert refusal(answer) == (503, "store_unavailable", None)
        assert b"canary" not in answer.data
    assert house.slots_held() == 0
