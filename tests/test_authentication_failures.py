"""Who guesses keys: how often it is told that it is wrong, and whom that concerns."""

from types import SimpleNamespace
from typing import Any

import pytest

from relay.authentication import Authenticator
from relay.core.credentials import Credentials
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy, digest
from relay.stores.database import StoreError
from relay.stores.rates import WINDOW_SECONDS, MemoryRates
from relay.tokens import TokenSigner

PER_MINUTE = 5
GOOD, WRONG = "rk_good", "rk_canary-guess"
HOME, AWAY = "203.0.113.7", "203.0.113.8"
INVALID, LIMITED, PASSES = "invalid_api_key", "auth_rate_limited", "passes"
KEY: Any = SimpleNamespace(id="key_1", policy=KeyPolicy(origins=("https://app.example",)))


class World:
    """One key is in force, for one origin. `counted`: under which names failures were counted."""

    def __init__(self) -> None:
        self.now, self.store_fails = 1_000.0, False
        self.counted: list[str] = []
        self._rates = MemoryRates(lambda: self.now)
        self._authenticator = Authenticator(self, self, PER_MINUTE, TokenSigner(b"s" * 32), 900)

    def find(self, fingerprint: str, now: float) -> Any:
        if self.store_fails:
            raise StoreError("database: gone")
        return KEY if fingerprint == digest(GOOD) else None

    def revoked_among(self, key_ids: set[str]) -> set[str]:
        return set()

    def hit(self, name: str, per_minute: int) -> Any:
        self.counted.append(name)
        return self._rates.hit(name, per_minute)

    def refusal(self, credentials: Credentials) -> RelayError | None:
        try:
            self._authenticator.identify(credentials)
        except RelayError as error:
            return error
        return None

    def told(self, key: str, address: str = HOME, **more: str) -> str:
        refusal = self.refusal(Credentials(f"Bearer {key}", address=address, **more))
        return PASSES if refusal is None else refusal.code

    def guesses(self, count: int, address: str = HOME) -> list[str]:
        return [self.told(f"{WRONG}-{number}", address) for number in range(count)]


@pytest.fixture
def world() -> World:
    return World()


def test_so_many_in_a_minute_are_told_and_no_more(world: World) -> None:
    assert world.guesses(PER_MINUTE + 3) == [INVALID] * PER_MINUTE + [LIMITED] * 3


def test_whoever_was_told_so_may_try_again_a_minute_later(world: World) -> None:
    world.guesses(PER_MINUTE)
    world.now += WINDOW_SECONDS - 0.01
    assert world.told(WRONG) == LIMITED
    world.now += 0.02
    assert world.told(WRONG) == INVALID


def test_the_refusal_says_when_and_that_asking_again_does_not_help(world: World) -> None:
    world.guesses(PER_MINUTE)
    world.now += 20
    error = world.refusal(Credentials(f"Bearer {WRONG}", address=HOME))
    assert error is not None
    assert (error.kind.status, error.kind.retry, error.retry_after_seconds) == (429, False, 40.0)
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert WRONG not in f"{error!r} {error.message} {world.counted}"


def test_a_good_key_passes_from_there_and_is_not_counted(world: World) -> None:
    world.guesses(PER_MINUTE + 1)
    assert [world.told(GOOD) for _ in range(PER_MINUTE)] == [PASSES] * PER_MINUTE
    assert len(world.counted) == PER_MINUTE + 1


def test_other_addresses_have_their_own_minute(world: World) -> None:
    world.guesses(PER_MINUTE)
    assert (world.told(WRONG, HOME), world.told(WRONG, AWAY)) == (LIMITED, INVALID)


def test_one_network_is_one_guesser(world: World) -> None:
    for number in range(PER_MINUTE):
        assert world.told(WRONG, f"2001:db8::{number}") == INVALID
    assert world.told(WRONG, "2001:db8::ffff:0:0:1") == LIMITED
    assert world.told(WRONG, "2001:db8:0:1::1") == INVALID


def test_guessers_without_an_address_share_one_minute(world: World) -> None:
    assert world.guesses(PER_MINUTE, "") == [INVALID] * PER_MINUTE
    assert world.told(WRONG, "somebody") == LIMITED


def test_the_names_counted_under_are_no_keys_ids(world: World) -> None:
    """They share one store with the limits of the keys."""
    world.guesses(1)
    world.told(WRONG, "key_0000000000000000")
    assert world.counted == [f"failures {HOME}", "failures unknown"]


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("Basic canary", address=HOME),
        Credentials("Bearer", address=HOME),
        Credentials(api_key="", address=HOME),
    ],
    ids=["another scheme", "nothing behind it", "nothing"],
)
def test_what_could_be_no_key_counts_as_a_wrong_one(world: World, credentials: Credentials) -> None:
    """The answers are the same, so the counting is."""
    for _ in range(PER_MINUTE):
        refusal = world.refusal(credentials)
        assert (refusal and refusal.code) == INVALID
    assert world.told(WRONG) == LIMITED


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        (Credentials(address=HOME), "missing_credentials"),
        (Credentials("Bearer one", "two", address=HOME), "ambiguous_credentials"),
        (Credentials(f"Bearer {GOOD}", origin="https://evil.example", address=HOME), "origin_not_allowed"),
    ],
    ids=["no key", "two keys", "a good key of another page"],
)
def test_what_is_no_guess_is_not_counted(world: World, credentials: Credentials, code: str) -> None:
    refusal = world.refusal(credentials)
    assert (refusal and refusal.code, world.counted) == (code, [])


def test_a_store_that_cannot_be_asked_makes_nobody_a_guesser(world: World) -> None:
    world.store_fails = True
    assert (world.told(WRONG), world.counted) == ("store_unavailable", [])
