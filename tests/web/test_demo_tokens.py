"""POST /demo/token: for whom, how many, and what one is good for."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from config.schema import Auth, Upstream
from relay.core.keys import DEMO_PAGE_KEY
from relay.stores.database import StoreError
from relay.stores.keys import KeyConflict
from relay.web import demo_tokens
from relay.web.demo_tokens import TOKENS_PER_MINUTE
from tests.house import House

OWN = {"Host": "relay.example", "Origin": "https://relay.example"}
Ask = Callable[..., TestResponse]


@pytest.fixture
def demo(build: Callable[..., House]) -> House:
    """A relay with nothing but the built-in demo."""
    return build(upstreams=(Upstream(),))


@pytest.fixture
def ask(demo: House) -> Ask:
    return lambda headers=OWN: demo.app.test_client().post("/demo/token", headers=headers)


def code_of(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


def with_token(demo: House, token: str) -> Any:
    caller = demo.app.test_client()
    caller.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return caller


def test_the_token_is_short_lived_and_for_the_demo_alone(demo: House, ask: Ask) -> None:
    answer = ask()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    key = demo.keys.get(DEMO_PAGE_KEY)
    claims = demo.relay.signer.read(answer.get_json()["value"], key.id, key.epoch)
    assert claims.exp - claims.iat == 600 and claims.exp == answer.get_json()["expires_at"]
    assert (claims.scopes, claims.models) == (("tasks",), ("demo", "demo-slow"))
    assert (claims.limits.requests, claims.limits.concurrent) == (20, 3)


def test_it_lives_no_longer_than_tokens_may(build: Callable[..., House]) -> None:
    demo = build(upstreams=(Upstream(),), auth=Auth(token_seconds_max=60))
    answer = demo.app.test_client().post("/demo/token", headers=OWN)
    key = demo.keys.get(DEMO_PAGE_KEY)
    claims = demo.relay.signer.read(answer.get_json()["value"], key.id, key.epoch)
    assert claims.exp - claims.iat == 60


def test_it_is_refused_for_other_things(demo: House, ask: Ask) -> None:
    caller = with_token(demo, ask().get_json()["value"])
    chat = caller.post("/v1/chat/completions", json={"model": "demo", "messages": []})
    assert code_of(chat) == (403, "scope_not_allowed")
    assert code_of(caller.post("/v1/client_secrets", json={})) == (403, "scope_not_allowed")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "relay.example"},
        {"Host": "relay.example", "Origin": "null"},
        {"Host": "relay.example", "Origin": "https://evil.example"},
        {"Host": "relay.example", "Origin": "https://relay.example.evil.example"},
        {"Host": "relay.example", "Origin": "https://relay.example:8443"},
        {"Host": "relay.example", "Sec-Fetch-Site": "same-origin"},
        {**OWN, "Sec-Fetch-Site": "same-site"},
        {**OWN, "Sec-Fetch-Site": "cross-site"},
        {**OWN, "Sec-Fetch-Site": "none"},
    ],
)
def test_only_the_relays_own_page_gets_one(demo: House, ask: Ask, headers: dict[str, str]) -> None:
    assert code_of(ask(headers)) == (403, "origin_not_allowed")
    assert demo.keys.list() == ()


def test_behind_a_proxy_that_changes_the_host_the_browsers_word_counts(ask: Ask) -> None:
    assert ask({"Host": "127.0.0.1:8000", "Origin": OWN["Origin"], "Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_with_a_real_upstream_there_are_none(house: House) -> None:
    assert code_of(house.app.test_client().post("/demo/token", headers=OWN)) == (404, "route_not_found")
    assert house.keys.list() == ()


def test_one_address_gets_so_many_a_minute(ask: Ask) -> None:
    answers = [ask() for _ in range(TOKENS_PER_MINUTE + 1)]
    assert [answer.status_code for answer in answers] == [200] * TOKENS_PER_MINUTE + [429]
    assert code_of(answers[-1]) == (429, "rate_limit_exceeded")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_all_of_them_share_one_bounded_key(demo: House, ask: Ask) -> None:
    assert len({ask().get_json()["value"] for _ in range(3)}) == 3
    (key,) = demo.keys.list()
    assert (key.name, key.policy.models) == (DEMO_PAGE_KEY, ("demo", "demo-slow"))
    assert key.policy.rpm and key.policy.concurrent


def test_a_key_that_another_worker_made_meanwhile_is_used(
    demo: House, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    first_look: Iterator[bool] = iter([True])
    get = demo.relay.keys.get

    def get_late(name: str) -> Any:
        if next(first_look, False):
            raise demo_tokens.UnknownKey
        return get(name)

    monkeypatch.setattr(demo.relay.keys, "get", get_late)
    with pytest.raises(KeyConflict):
        demo.relay.keys.create(DEMO_PAGE_KEY, demo_tokens.KEY_POLICY)
    assert ask().status_code == 200


def test_a_revoked_key_ends_the_demo(demo: House, ask: Ask) -> None:
    ask()
    demo.keys.revoke(DEMO_PAGE_KEY, 1.0)
    assert code_of(ask()) == (404, "route_not_found")


def test_without_its_store_it_says_so(demo: House, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise StoreError("gone")

    monkeypatch.setattr(demo.relay.keys, "get", fail)
    assert code_of(ask()) == (503, "store_unavailable")
