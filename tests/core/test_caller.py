"""A caller is a value: the same for the same key and policy, and nobody changes it on the way."""

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.caller import Caller, caller_with_token
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.core.tokens import Claims, TokenTimes

NO_POLICY = KeyPolicy()
TIMES = TokenTimes(1_000.0, 900)


def test_callers_with_the_same_key_and_policy_are_the_same() -> None:
    assert Caller("key_1", KeyPolicy(rpm=1)) == Caller("key_1", KeyPolicy(rpm=1))
    assert Caller("key_1", KeyPolicy(rpm=1)) != Caller("key_1", KeyPolicy(rpm=2))
    assert Caller("key_1", KeyPolicy()) != Caller("key_2", KeyPolicy())


def test_no_room_can_change_who_calls() -> None:
    caller = Caller("key_1", KeyPolicy())
    with pytest.raises(FrozenInstanceError):
        caller.key_id = "key_2"  # type: ignore[misc]


def test_a_caller_has_no_place_for_a_key() -> None:
    assert [field.name for field in fields(Caller)] == [
        "key_id",
        "policy",
        "subject",
        "token_id",
        "scopes",
        "origins",
        "limits",
        "expires_at",
    ]


def test_a_key_owns_what_it_starts_and_each_of_its_tokens_subjects_apart() -> None:
    assert Caller("key_1", KeyPolicy()).owner == "key_1"
    assert Caller("key_1", KeyPolicy(), "user-42", "tok_1").owner == "key_1/user-42"
    assert Caller("key_1", KeyPolicy(), "user-42", "tok_2").owner == "key_1/user-42"


def claims(**more: Any) -> Claims:
    return Claims(**{"iss": "relay", "aud": "relay", "jti": "tok_1", "iat": 900, "exp": 1_100, **more})


def code(claims: Claims, policy: KeyPolicy = NO_POLICY) -> str:
    with pytest.raises(RelayError) as caught:
        caller_with_token("key_1", policy, claims, TIMES)
    return caught.value.code


def test_a_token_is_a_caller_of_its_key() -> None:
    caller = caller_with_token("key_1", KeyPolicy(rpm=7), claims(sub="user"), TIMES)
    assert (caller.key_id, caller.policy.rpm, caller.subject, caller.token_id) == ("key_1", 7, "user", "tok_1")
    assert caller.names == ("key_1", "key_1/tok_1")
    assert caller_with_token("key_1", KeyPolicy(), claims(), TIMES).subject == "tok_1"
    assert Caller("key_1", KeyPolicy()).names == ("key_1",)


@pytest.mark.parametrize(
    ("iat", "exp", "wanted"),
    [
        (900, 1_000, "token_expired"),
        (500, 999.9, "token_expired"),
        (900, 1_801, "invalid_api_key"),
        (0, 901, "invalid_api_key"),
        (1_061, 1_100, "invalid_api_key"),
        (1_000, 1_000, "invalid_api_key"),
        (1_100, 900, "invalid_api_key"),
    ],
)
def test_times_that_do_not_hold_are_refused(iat: float, exp: float, wanted: str) -> None:
    assert code(claims(iat=iat, exp=exp)) == wanted


def test_a_clock_may_go_ahead_by_a_minute_and_a_token_may_wait_no_longer() -> None:
    assert caller_with_token("key_1", KeyPolicy(), claims(iat=1_060, exp=1_960), TIMES).expires_at == 1_960
    assert code(claims(nbf=1_061)) == "invalid_api_key"


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_models_are_those_that_both_allow(own: list[str], asked: list[str]) -> None:
    policy, wanted = KeyPolicy(models=tuple(own)), claims(models=tuple(asked))
    both = [model for model in "abcd" if model in (own or "abcd") and model in (asked or "abcd")]
    if not both:
        assert code(wanted, policy) == "model_not_allowed"
    else:
        models = caller_with_token("key_1", policy, wanted, TIMES).policy.models
        assert set(models or "abcd") == set(both)


@pytest.mark.parametrize(("own", "asked", "wanted"), [(0, None, 0), (9, None, 9), (0, 5, 5), (9, 5, 5), (5, 9, 5)])
def test_the_lower_ceiling_holds(own: int, asked: int | None, wanted: int) -> None:
    policy = KeyPolicy(max_output_tokens=own)
    caller = caller_with_token("key_1", policy, claims(max_output_tokens=asked), TIMES)
    assert caller.policy.max_output_tokens == wanted


def test_a_keys_origins_hold_for_its_tokens_too() -> None:
    policy = KeyPolicy(origins=("https://a.example",))
    caller = caller_with_token("key_1", policy, claims(origins=("https://b.example",)), TIMES)
    for origin in ("https://a.example", "https://b.example", None):
        with pytest.raises(RelayError, match="origin"):
            caller.check_origin(origin)
    caller_with_token("key_1", policy, claims(), TIMES).check_origin(None)


def test_a_scope_is_needed_by_tokens_alone() -> None:
    token = caller_with_token("key_1", KeyPolicy(), claims(scopes=("tasks",)), TIMES)
    token.require("tasks")
    token.require("")
    for forbidden in (lambda: token.require("chat"), token.require_key):
        with pytest.raises(RelayError) as caught:
            forbidden()
        assert caught.value.code == "scope_not_allowed"
    key = Caller("key_1", KeyPolicy())
    key.require("chat")
    key.require_key()
