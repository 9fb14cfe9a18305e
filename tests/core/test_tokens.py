"""What a client token says, and what may be asked for."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.core.tokens import NO_LIMITS, SCOPES, TokenLimits, TokenTimes, granted, read_claims, read_wish, wish_for

TIMES = TokenTimes(2_000_000_000.9, 900)
CLAIMS = {"iss": "relay", "aud": "relay", "jti": "tok_1", "iat": 1, "exp": 2}


def test_nothing_asked_for_is_ten_minutes_of_all_that_the_key_may() -> None:
    claims = granted(read_wish(b"{}"), KeyPolicy(), "tok_1", TIMES)
    assert (claims.jti, claims.iat, claims.exp) == ("tok_1", 2_000_000_000, 2_000_000_600)
    assert (claims.scopes, claims.models, claims.origins, claims.limits) == (SCOPES, (), (), NO_LIMITS)


@pytest.mark.parametrize("seconds", [10, 900])
def test_the_shortest_and_the_longest_life(seconds: int) -> None:
    wish = read_wish(b'{"expires_after":{"seconds":%d}}' % seconds)
    assert granted(wish, KeyPolicy(), "tok_1", TIMES).exp == 2_000_000_000 + seconds


def test_what_is_granted_can_be_read_again() -> None:
    limits = {"requests": 1, "tokens": 2, "concurrent": 3, "cost_usd": 0.5}
    wish = wish_for({"sub": "ü", "models": ["m"], "scopes": ["chat"], "origins": ["https://a.b:1"], "limits": limits})
    claims = granted(wish, KeyPolicy(), "tok_1", TIMES)
    assert read_claims(msgspec.json.encode(claims)) == claims


@given(st.integers(0, 20), st.integers(0, 20))
def test_at_most_the_keys_own_places_at_once(asked: int, own: int) -> None:
    wish = wish_for({"limits": {"concurrent": asked} if asked else {}})
    if asked and own and asked > own:
        with pytest.raises(RelayError, match="own limit"):
            granted(wish, KeyPolicy(concurrent=own), "tok_1", TIMES)
    else:
        assert granted(wish, KeyPolicy(concurrent=own), "tok_1", TIMES).limits.concurrent == (asked or None)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff", b'{"limits":{"cost_usd":NaN}}', b"[" * 100_000, b'{"sub":7}']
)
def test_what_cannot_be_read_is_an_invalid_request_that_repeats_nothing(body: bytes) -> None:
    with pytest.raises(RelayError) as caught:
        read_wish(body)
    assert (caught.value.code, len(caught.value.message) < 80) == ("invalid_request", True)


@pytest.mark.parametrize("missing", CLAIMS)
def test_a_claim_that_is_missing_makes_it_no_token(missing: str) -> None:
    assert read_claims(msgspec.json.encode(CLAIMS)) is not None
    assert read_claims(msgspec.json.encode({name: value for name, value in CLAIMS.items() if name != missing})) is None


BAD: list[dict[str, Any]] = [
    {"iss": "other"},
    {"aud": "other"},
    {"aud": ["relay"]},
    {"jti": ""},
    {"jti": "a/b"},
    {"jti": "a" * 65},
    {"jti": "tok\n"},
    {"jti": 7},
    {"iat": "1"},
    {"exp": True},
    {"exp": None},
    {"exp": -1},
    {"exp": 1e300},
    {"limits": {"requests": 0}},
    {"limits": {"requests": -1}},
    {"limits": {"cost_usd": 0}},
    {"limits": {"concurent": 1}},
    {"limit": {"requests": 1}},
    {"scopes": ["admin"]},
    {"scopes": "chat"},
    {"origins": ["*"]},
    {"models": [""]},
    {"max_output_tokens": 0},
    {"sub": "a\u0000"},
]


@pytest.mark.parametrize("claim", BAD, ids=str)
def test_a_claim_that_is_not_what_it_may_be_makes_it_no_token(claim: dict[str, Any]) -> None:
    assert read_claims(msgspec.json.encode({**CLAIMS, **claim})) is None


@given(st.binary(max_size=80))
def test_whatever_is_signed_never_fails(payload: bytes) -> None:
    assert read_claims(payload) is None


@pytest.mark.parametrize("name", ["requests", "tokens", "cost_usd"])
def test_totals_are_counted_where_there_is_one(name: str) -> None:
    assert TokenLimits(**{name: 1}).are_counted
    assert not TokenLimits(concurrent=1).are_counted
