"""Who calls: keys from a real store, on a clock that a test moves."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from relay import authentication
from relay.authentication import Authenticator, RevocationWatch
from relay.core.credentials import Credentials
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy, digest, mint_key
from relay.stores.database import StoreError, open_database
from relay.stores.keys import KeyRecord, KeyStore
from relay.stores.rates import MemoryRates
from relay.tokens import TokenSigner

POLICY = KeyPolicy(rpm=7, models=("demo",))
FAILURES_PER_MINUTE = 5


class Clock:
    """Stands for the module `time` within the room."""

    def __init__(self) -> None:
        self.now = 5_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 2_000_000_000.0 + self.now


class Watched:
    """The store, and what it was asked for. `failing`: it cannot be reached; a look-up takes `seconds`."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.asked: list[tuple[str, float]] = []
        self.failing = False
        self.seconds = 0.0

    def find(self, digest: str, now: float) -> KeyRecord | None:
        self.asked.append((digest, now))
        if self.failing:
            raise StoreError("database: gone")
        record = self._store.find(digest, now)
        self._clock.now += self.seconds
        return record

    def revoked_among(self, key_ids: set[str]) -> set[str]:
        self.asked.append((" ".join(sorted(key_ids)), 0.0))
        return self._store.revoked_among(key_ids)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(authentication, "time", clock)
    return clock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    database = open_database(f"sqlite:///{tmp_path}/relay.db")
    database.create_tables()
    yield KeyStore(database)
    database.close()


@pytest.fixture
def watched(store: KeyStore, clock: Clock) -> Watched:
    return Watched(store, clock)


@pytest.fixture
def failures(clock: Clock) -> MemoryRates:
    return MemoryRates(clock.monotonic)


@pytest.fixture
def authenticator(watched: Watched, failures: MemoryRates) -> Authenticator:
    return Authenticator(watched, failures, FAILURES_PER_MINUTE, TokenSigner(b"s" * 32), 900)


def bearer(key: str, origin: str | None = None, address: str = "") -> Credentials:
    return Credentials(authorization=f"Bearer {key}", origin=origin, address=address)


def refusal(authenticator: Authenticator, credentials: Credentials) -> RelayError:
    with pytest.raises(RelayError) as caught:
        authenticator.identify(credentials)
    return caught.value


def test_a_key_is_its_owner_with_its_policy(authenticator: Authenticator, store: KeyStore) -> None:
    record, key = store.create("web", POLICY)
    for credentials in (bearer(key), Credentials(api_key=key), Credentials(f"bearer {key}", key)):
        caller = authenticator.identify(credentials)
        assert (caller.key_id, caller.policy) == (record.id, POLICY)


def test_the_store_is_asked_for_the_digest_and_never_for_the_key(
    authenticator: Authenticator, store: KeyStore, watched: Watched, clock: Clock
) -> None:
    _, key = store.create("web", POLICY)
    authenticator.identify(bearer(key))
    assert (watched.asked, key in repr(vars(authenticator))) == ([(digest(key), clock.time())], False)


def test_the_cache_serves_for_two_seconds_and_no_longer(
    authenticator: Authenticator, store: KeyStore, watched: Watched, clock: Clock
) -> None:
    _, key = store.create("web", POLICY)
    authenticator.identify(bearer(key))
    clock.now += 1.99
    authenticator.identify(bearer(key))
    assert len(watched.asked) == 1
    clock.now += 0.01
    authenticator.identify(bearer(key))
    assert len(watched.asked) == 2


def test_a_revoked_key_is_refused_two_seconds_after_it_was_last_looked_up(
    authenticator: Authenticator, store: KeyStore, clock: Clock
) -> None:
    _, key = store.create("web", POLICY)
    authenticator.identify(bearer(key))
    store.revoke("web", clock.time())
    clock.now += 2
    assert refusal(authenticator, bearer(key)).code == "invalid_api_key"
    clock.now -= 2  # nothing of it is left to be served
    assert refusal(authenticator, bearer(key)).code == "invalid_api_key"


def test_a_slow_look_up_does_not_prolong_the_two_seconds(
    authenticator: Authenticator, store: KeyStore, watched: Watched, clock: Clock
) -> None:
    _, key = store.create("web", POLICY)
    watched.seconds = 1.5
    authenticator.identify(bearer(key))
    store.revoke("web", clock.time())
    clock.now += 0.5
    assert refusal(authenticator, bearer(key)).code == "invalid_api_key"


@pytest.mark.parametrize("state", ["unknown", "revoked", "expired"])
def test_keys_that_are_not_in_force_are_refused_alike_and_never_cached(
    authenticator: Authenticator, store: KeyStore, watched: Watched, clock: Clock, state: str
) -> None:
    _, key = store.create("web", POLICY, expires_at=clock.time() if state == "expired" else None)
    if state == "revoked":
        store.revoke("web", clock.time())
    key = mint_key() if state == "unknown" else key
    errors = [refusal(authenticator, bearer(key)) for _ in range(3)]
    assert {(error.code, error.message) for error in errors} == {("invalid_api_key", "The API key is not valid.")}
    assert len(watched.asked) == 3
    assert not authenticator._cache


def test_no_more_keys_are_cached_than_is_allowed_and_the_oldest_goes_first(
    authenticator: Authenticator, store: KeyStore, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "CACHED_KEYS_MAX", 3)
    keys = [store.create(f"key-{number}", POLICY)[1] for number in range(5)]
    for key in keys:
        authenticator.identify(bearer(key))
    assert len(authenticator._cache) == 3
    authenticator.identify(bearer(keys[-1]))
    assert len(watched.asked) == 5
    authenticator.identify(bearer(keys[0]))
    assert len(watched.asked) == 6


def test_a_store_that_is_gone_is_told_as_503_and_may_be_asked_again(
    authenticator: Authenticator, store: KeyStore, watched: Watched, clock: Clock
) -> None:
    _, key = store.create("web", POLICY)
    watched.failing = True
    error = refusal(authenticator, bearer(key))
    assert (error.code, error.kind.status) == ("store_unavailable", 503)
    assert ("Retry-After", "1") in error.headers()
    watched.failing = False
    authenticator.identify(bearer(key))
    watched.failing = True
    authenticator.identify(bearer(key))  # the cache bridges a short outage
    clock.now += 2
    assert refusal(authenticator, bearer(key)).code == "store_unavailable"


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        (Credentials(), "missing_credentials"),
        (Credentials("Basic abc"), "invalid_api_key"),
        (Credentials("Bearer one", "two"), "ambiguous_credentials"),
        (Credentials("Bearer " + "k" * 513), "invalid_api_key"),
    ],
    ids=["none", "another scheme", "two keys", "too long"],
)
def test_what_is_no_credential_never_reaches_the_store(
    authenticator: Authenticator, watched: Watched, credentials: Credentials, code: str
) -> None:
    assert refusal(authenticator, credentials).code == code
    assert watched.asked == []


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("https://app.example", None),
        (None, None),  # no page: a server that holds the key
        ("https://APP.example", "origin_not_allowed"),
        ("https://app.example.evil.net", "origin_not_allowed"),
        ("null", "origin_not_allowed"),
        ("", "origin_not_allowed"),
    ],
)
def test_a_key_for_one_origin_is_not_for_pages_of_others(
    authenticator: Authenticator, store: KeyStore, origin: str | None, code: str | None
) -> None:
    _, key = store.create("web", KeyPolicy(origins=("https://app.example",)))
    for _ in range(2):  # looked up, then from the cache
        if code is None:
            assert authenticator.identify(bearer(key, origin)).policy.origins
        else:
            assert refusal(authenticator, bearer(key, origin)).code == code


def test_a_key_without_origins_is_for_all_pages(authenticator: Authenticator, store: KeyStore) -> None:
    _, key = store.create("web", KeyPolicy())
    authenticator.identify(bearer(key, "https://anywhere.example"))


def test_the_watch_cuts_the_revoked_of_the_keys_in_use(store: KeyStore, watched: Watched, clock: Clock) -> None:
    ids = [store.create(name, POLICY)[0].id for name in ("one", "two", "idle")]
    store.revoke("one", clock.time())
    store.revoke("idle", clock.time())
    cut: list[set[str]] = []
    RevocationWatch(watched, lambda: set(ids[:2]), cut.append).look()
    assert cut == [{ids[0]}]
    assert watched.asked == [(" ".join(sorted(ids[:2])), 0.0)]


def test_the_watch_asks_nobody_while_nothing_streams(watched: Watched) -> None:
    calls = SimpleNamespace(cut=pytest.fail)
    RevocationWatch(watched, set, calls.cut).look()
    assert watched.asked == []
