"""Signing and reading client tokens: whatever is not exactly what a key's owner signed is no token."""

import time
from typing import Any

import jwt
import pytest

from relay.authentication import Authenticator
from relay.core.credentials import Credentials
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.core.tokens import Claims
from relay.stores.keys import KeyRecord
from relay.stores.rates import MemoryRates
from relay.tokens import TokenSigner, TokenTooLong
from tests.hostile_tokens import Forger

SECRET = b"s" * 32
KEY, OTHER = "key_0000000000000001", "key_0000000000000002"
SIGNER = TokenSigner(SECRET)


class Keys:
    """Two keys that are in force."""

    def parent(self, key_id: str, token_id: str, now: float) -> KeyRecord | None:
        known = key_id in (KEY, OTHER)
        return KeyRecord(key_id, key_id, "rk_", "0000", 0, None, None, KeyPolicy(models=("m",))) if known else None

    def find(self, digest: str, now: float) -> None:
        return None

    def revoked_among(self, names: set[str]) -> set[str]:
        return set()


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": "relay", "aud": "relay", "jti": "tok_1", "iat": now, "exp": now + 600, "models": ["m"], **more}


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(Keys(), MemoryRates(), 1_000_000, SIGNER, 900)


@pytest.fixture
def forger() -> Forger:
    return Forger(claims(), KEY, SIGNER.signing_secret(KEY, 1), OTHER, SIGNER.signing_secret(OTHER, 1))


def outcome(authenticator: Authenticator, token: str) -> str:
    try:
        return authenticator.identify(Credentials(f"Bearer {token}")).key_id
    except RelayError as error:
        return f"{error.code}: {error.message}"


def test_what_any_library_signs_with_the_keys_secret_is_a_token(authenticator: Authenticator, forger: Forger) -> None:
    secret = SIGNER.signing_secret(KEY, 1)
    assert outcome(authenticator, forger.token()) == KEY
    assert outcome(authenticator, "ek_" + jwt.encode(claims(), secret, "HS256", headers={"kid": KEY})) == KEY
    assert outcome(authenticator, SIGNER.sign(Claims(**claims()), KEY, 1)) == KEY
    assert (
        outcome(authenticator, forger.token(head={"kid": OTHER, "alg": "HS256"}, secret=forger.other_secret)) == OTHER
    )


def test_every_forgery_is_refused_in_the_same_words(authenticator: Authenticator, forger: Forger) -> None:
    forgeries = dict(forger.all())
    assert len(forgeries) >= 60
    told = {name: outcome(authenticator, token) for name, token in forgeries.items()}
    wanted = outcome(authenticator, "rk_" + "0" * 38)
    assert wanted.startswith("invalid_api_key")
    assert {name: said for name, said in told.items() if said != wanted} == {}


def test_no_character_can_be_changed(authenticator: Authenticator, forger: Forger) -> None:
    tampered = list(forger.tampered())
    assert len(tampered) > 200
    assert {outcome(authenticator, token).split(":")[0] for token in tampered} == {"invalid_api_key"}


def test_an_expired_token_that_was_signed_is_told_apart_from_one_that_was_not(
    authenticator: Authenticator, forger: Forger
) -> None:
    now = time.time()
    old = {"iat": now - 100, "exp": now - 1}
    assert outcome(authenticator, forger.token(**old)).startswith("token_expired")
    assert outcome(authenticator, forger.token(**old, secret="x")).startswith("invalid_api_key")


def test_a_token_that_was_good_a_moment_ago_expires_on_time(
    authenticator: Authenticator, forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = forger.token()
    assert outcome(authenticator, token) == KEY
    later = time.time() + 601
    monkeypatch.setattr("relay.authentication.time.time", lambda: later)
    assert outcome(authenticator, token).startswith("token_expired")


def test_more_than_the_key_may_is_narrowed_to_what_it_may(authenticator: Authenticator, forger: Forger) -> None:
    caller = authenticator.identify(Credentials(f"Bearer {forger.token(models=['m', 'other'])}"))
    assert caller.policy.models == ("m",)
    assert outcome(authenticator, forger.token(models=["other"])).startswith("model_not_allowed")


def test_each_key_and_each_epoch_has_a_secret_of_its_own() -> None:
    secrets = {SIGNER.signing_secret(key, epoch) for key in (KEY, OTHER) for epoch in (1, 2, 11)}
    assert len(secrets | {TokenSigner(b"t" * 32).signing_secret(KEY, 1)}) == 7
    assert all(len(secret) == 64 for secret in secrets)
    token = SIGNER.sign(Claims(**claims()), KEY, 1)
    assert SIGNER.read(token, KEY, 2) is None
    assert SIGNER.read(token, KEY, 1) is not None


def test_what_names_no_key_of_ours_names_nothing(forger: Forger) -> None:
    """A store is asked for it before its signature is known to be good."""
    assert SIGNER.names_in(forger.token()) == (KEY, "tok_1")
    for kid in ("key_\x00" + "0" * 15, "key_" + "0" * 17, "KEY_" + "0" * 16, "key_ü" + "0" * 15, "\ud800", 7):
        assert SIGNER.names_in(forger.token(head={"alg": "HS256", "kid": kid})) == ("", "")
    assert SIGNER.names_in(forger.token(jti="a\x00b")) == ("", "")


def test_a_token_that_no_header_could_carry_is_not_made() -> None:
    with pytest.raises(TokenTooLong):
        SIGNER.sign(Claims(**claims(models=["m" * 100] * 40)), KEY, 1)
