"""A caller is a value: the same for the same key and policy, and nobody changes it on the way."""

from dataclasses import FrozenInstanceError, fields

import pytest

from relay.core.caller import Caller
from relay.core.keys import KeyPolicy


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
