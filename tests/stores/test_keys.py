"""Keys in the store, on SQLite and on PostgreSQL."""

import time
from pathlib import Path

import pytest
from sqlalchemy import text

from relay.core.keys import KeyPolicy, digest, is_well_formed
from relay.stores.database import Database, open_database
from relay.stores.keys import KeyConflict, KeyStore, UnknownKey

POLICY = KeyPolicy(
    rpm=7,
    concurrent=2,
    tpm=10**11,
    budget_usd=0.25,
    budget_per="day",
    models=("gpt-4.1", "demo"),
    origins=("https://app.example",),
    max_output_tokens=900,
    resume=True,
    detach="finish",
)
NOW = 2_000_000_000.5


def test_a_new_key_is_found_by_its_digest_with_its_whole_policy(store: KeyStore) -> None:
    before = time.time()
    record, secret = store.create("web", POLICY, expires_at=NOW + 1)
    assert is_well_formed(secret)
    assert store.find(digest(secret), NOW) == record
    assert (record.name, record.policy, record.expires_at, record.revoked_at) == ("web", POLICY, NOW + 1, None)
    assert before <= record.created_at <= time.time()
    assert (record.prefix, record.last4) == (secret[:7], secret[-4:])


@pytest.mark.parametrize("guess", [digest("rk_unknown"), "", "' OR '1'='1", "%", "ü"])
def test_an_unknown_digest_is_nobodys(store: KeyStore, guess: str) -> None:
    store.create("web", KeyPolicy())
    assert store.find(guess, NOW) is None


def test_a_key_is_refused_from_the_moment_it_expires(store: KeyStore) -> None:
    _, secret = store.create("web", KeyPolicy(), expires_at=NOW)
    assert store.find(digest(secret), NOW - 0.001) is not None
    assert store.find(digest(secret), NOW) is None
    assert store.get("web").state(NOW) == "expired"


def test_a_revoked_key_is_refused_whatever_the_clocks_say(store: KeyStore) -> None:
    _, secret = store.create("web", KeyPolicy())
    store.revoke("web", NOW)
    assert store.find(digest(secret), NOW - 3600) is None
    assert store.get("web").state(NOW - 3600) == "revoked"


def test_revoking_again_keeps_the_first_moment(store: KeyStore) -> None:
    store.create("web", KeyPolicy())
    store.revoke("web", NOW)
    store.revoke("web", NOW + 100)
    assert store.get("web").revoked_at == NOW


def test_revoking_one_key_leaves_the_others(store: KeyStore) -> None:
    store.create("web", KeyPolicy())
    _, other = store.create("app", KeyPolicy())
    store.revoke("web", NOW)
    assert store.find(digest(other), NOW) is not None


def test_a_name_is_taken_once_also_by_a_revoked_key(store: KeyStore) -> None:
    _, secret = store.create("web", KeyPolicy())
    with pytest.raises(KeyConflict, match="'web' is taken"):
        store.create("web", POLICY)
    assert store.find(digest(secret), NOW) is not None
    store.revoke("web", NOW)
    with pytest.raises(KeyConflict):
        store.create("web", KeyPolicy())
    assert len(store.list()) == 1


@pytest.mark.parametrize("verb", ["get", "rotate", "revoke"])
def test_an_unknown_name_is_said_to_be_unknown(store: KeyStore, verb: str) -> None:
    arguments = {"get": (), "rotate": (60, NOW), "revoke": (NOW,)}[verb]
    with pytest.raises(UnknownKey, match="no key is named 'nobody'"):
        getattr(store, verb)("nobody", *arguments)


def test_a_rotated_key_keeps_its_id_and_policy_and_shows_its_new_secret(store: KeyStore) -> None:
    record, old = store.create("web", POLICY)
    new = store.rotate("web", 60, NOW)
    found = store.find(digest(new), NOW)
    assert new != old
    assert found is not None
    assert (found.id, found.policy, found.created_at) == (record.id, POLICY, record.created_at)
    assert (found.prefix, found.last4) == (new[:7], new[-4:])
    assert store.get("web") == found
    assert store.list() == (found,)


def test_the_old_secret_holds_for_the_overlap_and_no_longer(store: KeyStore) -> None:
    _, old = store.create("web", KeyPolicy())
    store.rotate("web", 60, NOW)
    assert store.find(digest(old), NOW + 59.9) is not None
    assert store.find(digest(old), NOW + 60) is None


def test_no_overlap_ends_the_old_secret_at_once(store: KeyStore) -> None:
    _, old = store.create("web", KeyPolicy())
    new = store.rotate("web", 0, NOW)
    assert store.find(digest(old), NOW) is None
    assert store.find(digest(new), NOW) is not None


def test_a_second_rotation_shortens_an_overlap_and_never_lengthens_it(store: KeyStore) -> None:
    _, first = store.create("web", KeyPolicy())
    second = store.rotate("web", 10, NOW)
    store.rotate("web", 1000, NOW)
    assert store.find(digest(first), NOW + 11) is None
    assert store.find(digest(second), NOW + 11) is not None
    third = store.rotate("web", 0, NOW)
    assert [store.find(digest(secret), NOW) for secret in (first, second)] == [None, None]
    assert store.find(digest(third), NOW) is not None


def test_revoking_ends_the_secrets_of_an_overlap_too(store: KeyStore) -> None:
    _, old = store.create("web", KeyPolicy())
    new = store.rotate("web", 1000, NOW)
    store.revoke("web", NOW)
    assert [store.find(digest(secret), NOW) for secret in (old, new)] == [None, None]


def test_a_key_that_is_over_is_not_rotated(store: KeyStore) -> None:
    store.create("gone", KeyPolicy())
    store.revoke("gone", NOW)
    with pytest.raises(KeyConflict, match="'gone' is revoked"):
        store.rotate("gone", 60, NOW)
    store.create("late", KeyPolicy(), expires_at=NOW)
    with pytest.raises(KeyConflict, match="'late' is expired"):
        store.rotate("late", 60, NOW)


def test_the_list_is_sorted_and_has_every_key(store: KeyStore) -> None:
    assert store.list() == ()
    for name in ("web", "app", "old"):
        store.create(name, KeyPolicy(), expires_at=NOW if name == "old" else None)
    store.revoke("app", NOW)
    assert [(record.name, record.state(NOW)) for record in store.list()] == [
        ("app", "revoked"),
        ("old", "expired"),
        ("web", "active"),
    ]


def test_the_watch_is_told_which_keys_are_revoked_and_lets_expired_ones_finish(store: KeyStore) -> None:
    alive, revoked = (store.create(name, KeyPolicy())[0].id for name in ("alive", "revoked"))
    expired = store.create("late", KeyPolicy(), expires_at=NOW - 1)[0].id
    store.revoke("revoked", NOW)
    assert store.revoked_among({alive, revoked, expired, "key_unknown"}) == {revoked}
    assert store.revoked_among({alive}) == set()
    assert store.revoked_among(set()) == set()


def test_the_watch_takes_as_many_keys_as_there_are_streams(store: KeyStore) -> None:
    record, _ = store.create("web", KeyPolicy())
    store.revoke("web", NOW)
    assert store.revoked_among({record.id, *(f"key_{number}" for number in range(3000))}) == {record.id}


def test_names_are_data(store: KeyStore) -> None:
    for name in ("'; DROP TABLE keys; --", "Größe 漢字 🗝", "%", "a/b"):
        record, secret = store.create(name, KeyPolicy())
        assert store.get(name) == record
        assert store.find(digest(secret), NOW) == record


def test_what_was_committed_outlives_the_connection(url: str, store: KeyStore) -> None:
    record, secret = store.create("web", POLICY)
    again = open_database(url)
    again.create_tables()
    assert KeyStore(again).find(digest(secret), NOW) == record
    again.close()


def test_a_policy_of_an_older_release_gets_the_new_defaults(store: KeyStore, database: Database) -> None:
    store.create("web", POLICY)
    older = text("""UPDATE keys SET policy = '{"rpm": 9, "gone": 1}'""")
    database.run(lambda connection: connection.execute(older))
    assert store.get("web").policy == KeyPolicy(rpm=9)


def test_no_key_text_is_stored(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/relay.db")
    database.create_tables()
    store = KeyStore(database)
    secrets = [store.create("web", POLICY)[1], store.rotate("web", 60, NOW), store.rotate("web", 0, NOW)]
    store.revoke("web", NOW)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())  # with the -wal, before it is folded in
    database.close()
    written += b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in secrets:
        assert digest(secret).encode() in written
        assert secret[:7].encode() in written
        assert secret[3:15].encode() not in written
        assert secret[-12:].encode() not in written
