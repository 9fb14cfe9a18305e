"""Tokens that were ended: by whom, until when, and what of a key's is in force."""

import time

import pytest

from relay.core.keys import KeyPolicy
from relay.stores.database import Database
from relay.stores.keys import KeyStore, UnknownKey
from relay.stores.revocations import KEPT_SECONDS, Revocations

NOW = 2_000_000_000.0


@pytest.fixture
def revocations(database: Database) -> Revocations:
    return Revocations(database)


def test_a_key_is_found_by_its_id_unless_it_ended_the_token(store: KeyStore, revocations: Revocations) -> None:
    record, _ = store.create("web", KeyPolicy(rpm=7))
    assert store.parent(record.id, "tok_1", NOW) == record
    revocations.revoke(record.id, "tok_1", NOW)
    revocations.revoke(record.id, "tok_1", NOW)
    assert store.parent(record.id, "tok_1", NOW) is None
    assert store.parent(record.id, "tok_2", NOW) == record
    assert store.parent("key_unknown", "tok_1", NOW) is None


def test_another_keys_word_ends_nothing(store: KeyStore, revocations: Revocations) -> None:
    (one, _), (other, _) = store.create("one", KeyPolicy()), store.create("other", KeyPolicy())
    revocations.revoke(other.id, "tok_1", NOW)
    revocations.revoke(other.id, one.id, NOW)
    assert store.parent(one.id, "tok_1", NOW) == one
    assert store.revoked_among({one.id, f"{one.id}/tok_1"}) == set()
    assert store.revoked_among({f"{other.id}/tok_1", other.id}) == {f"{other.id}/tok_1"}


@pytest.mark.parametrize("ended", ["revoked", "expired"])
def test_a_key_that_is_not_in_force_has_no_tokens(store: KeyStore, ended: str) -> None:
    record, _ = store.create("web", KeyPolicy(), expires_at=NOW if ended == "expired" else None)
    if ended == "revoked":
        store.revoke("web", NOW)
    assert store.parent(record.id, "tok_1", NOW) is None


def test_rotating_a_key_keeps_its_tokens(store: KeyStore) -> None:
    record, _ = store.create("web", KeyPolicy())
    store.rotate("web", 3_600, NOW)
    found = store.parent(record.id, "tok_1", NOW)
    assert found is not None
    assert (found.id, found.epoch) == (record.id, record.epoch)


def test_ending_all_tokens_raises_the_epoch_and_keeps_the_key(store: KeyStore) -> None:
    record, _ = store.create("web", KeyPolicy())
    for epoch in (2, 3):
        store.end_tokens("web")
        assert store.get("web").epoch == epoch
    assert store.get("web").state(time.time()) == "active"
    assert store.get("web").id == record.id
    with pytest.raises(UnknownKey):
        store.end_tokens("nobody")


def test_an_end_is_forgotten_when_no_token_can_live_so_long(store: KeyStore, revocations: Revocations) -> None:
    record, _ = store.create("web", KeyPolicy())
    revocations.revoke(record.id, "tok_1", NOW)
    revocations.revoke(record.id, "tok_2", NOW + KEPT_SECONDS)
    assert store.parent(record.id, "tok_1", NOW) is None
    revocations.revoke(record.id, "tok_3", NOW + KEPT_SECONDS + 1)
    assert store.parent(record.id, "tok_1", NOW) is not None
    assert store.parent(record.id, "tok_2", NOW) is None
