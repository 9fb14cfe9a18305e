"""A9: how long a refusal takes does not tell how near a key was to one that exists."""

import contextlib
import gc
import math
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.authentication import Authenticator
from relay.core.credentials import Credentials
from relay.core.errors import RelayError
from relay.core.keys import BASE62, KeyPolicy, mint_key
from relay.stores.database import open_database
from relay.stores.keys import KeyStore
from relay.tokens import TokenSigner

T_MAX = 4.5  # of Welch's test, as for leaks of side channels: TVLA
SAMPLES = [4_000, pytest.param(100_000, marks=pytest.mark.soak)]
ATTEMPTS_MAX = 3  # a machine that is busy in one half of a run only shows up as a difference now and then
SEED = 20_260_101


class NoLimit:
    """Failed attempts are not counted: only looking for the key is measured."""

    allowed, reset_seconds = True, 0.0

    def hit(self, name: str, per_minute: int) -> "NoLimit":
        return self


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    database = open_database(f"sqlite:///{tmp_path}/relay.db")
    database.create_tables()
    yield KeyStore(database)
    database.close()


@pytest.fixture
def key(store: KeyStore) -> str:
    for number in range(50):
        store.create(f"other-{number}", KeyPolicy())
    return store.create("target", KeyPolicy())[1]


def near_miss(key: str, chance: random.Random) -> str:
    """The key with one character changed, at its end or anywhere."""
    at = chance.choice((len(key) - 1, chance.randrange(3, len(key))))
    other = chance.choice(BASE62.replace(key[at], ""))
    return key[:at] + other + key[at + 1 :]


def seconds_to_refuse(authenticator: Authenticator, key: str) -> float:
    credentials = Credentials(authorization=f"Bearer {key}")
    began = time.perf_counter()
    with contextlib.suppress(RelayError):
        authenticator.identify(credentials)
        raise AssertionError("accepted")
    return time.perf_counter() - began


def welch_t(one: list[float], other: list[float]) -> float:
    """Welch's t of two samples (Biometrika 34, 1947), without the slowest tenth, which the scheduler made."""
    kept = [sorted(sample)[: len(sample) * 9 // 10] for sample in (one, other)]
    means, errors = zip(*((statistics.fmean(s), statistics.variance(s) / len(s)) for s in kept), strict=True)
    return (means[0] - means[1]) / math.sqrt(sum(errors))


def measured_t(authenticator: Authenticator, key: str, samples: int, chance: random.Random) -> float:
    """Near misses and random keys in turn, each pair in a random order."""
    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(samples // 2):
        tries = [(True, near_miss(key, chance)), (False, mint_key())]
        chance.shuffle(tries)
        for is_near, tried in tries:
            took[is_near].append(seconds_to_refuse(authenticator, tried))
    return welch_t(took[True], took[False])


@pytest.mark.parametrize("samples", SAMPLES)
def test_a_near_miss_takes_as_long_to_refuse_as_any_other_key(store: KeyStore, key: str, samples: int) -> None:
    authenticator, chance = Authenticator(store, NoLimit(), 1_000_000, TokenSigner(b"s" * 32), 900), random.Random(SEED)
    authenticator.identify(Credentials(authorization=f"Bearer {key}"))  # it is remembered, as in a real attack
    gc.disable()
    try:
        found = [abs(measured_t(authenticator, key, samples, chance))]
        while found[-1] >= T_MAX and len(found) < ATTEMPTS_MAX:
            found.append(abs(measured_t(authenticator, key, samples, chance)))
    finally:
        gc.enable()
    assert found[-1] < T_MAX, f"t of each attempt: {found}"


def test_the_measure_finds_a_comparison_that_stops_at_the_first_difference(key: str) -> None:
    class Naive:
        def identify(self, credentials: Credentials) -> None:
            for one, other in zip((credentials.authorization or "")[7:], key, strict=False):
                if one != other:
                    raise RelayError("invalid_api_key", "No.")

    found = measured_t(Naive(), key, SAMPLES[0], random.Random(SEED))  # type: ignore[arg-type]
    assert abs(found) > T_MAX
