"""Who has a key: rows of keys and of their secrets, of which only the SHA-256 is stored."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from relay.core.keys import KeyPolicy, digest, mint_key, mint_key_id, preview
from relay.stores.database import Database
from relay.stores.revocations import revoked_names
from relay.stores.schema import key_secrets, keys, revoked_tokens


class UnknownKey(Exception):
    """No key has this name."""


class KeyConflict(Exception):
    """The key is not in a state for this: its name is taken, or it is revoked or expired."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is stored. Times are UTC epoch seconds; prefix and last4 are all that is left of its secret.

    `epoch` stands in what is derived from the key: raising it ends all of that.
    """

    id: str
    name: str
    prefix: str
    last4: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    policy: KeyPolicy
    epoch: int = 1

    def state(self, now: float) -> str:
        """Return "active", "revoked" or "expired"."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expires_at is None or now < self.expires_at else "expired"


class KeyStore:
    """Every method raises StoreError when the database cannot do it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, policy: KeyPolicy, expires_at: float | None = None) -> tuple[KeyRecord, str]:
        """Make a key; return its record and the key itself, which is stored nowhere. Raises KeyConflict: name taken."""
        secret, now = mint_key(), time.time()
        record = KeyRecord(mint_key_id(), name, *preview(secret), now, expires_at, None, policy)
        self._database.run(lambda connection: _insert_key(connection, record, secret))
        return record, secret

    def find(self, digest: str, now: float) -> KeyRecord | None:
        """Return the key in force with this SHA-256; None if unknown, revoked, expired, or its secret replaced."""
        wanted = {"digest": digest, "now": now}
        row = self._database.read(lambda connection: connection.execute(_FIND, wanted).one_or_none())
        record = None if row is None else _record(row)
        return record if record is not None and record.state(now) == "active" else None

    def parent(self, key_id: str, token_id: str, now: float) -> KeyRecord | None:
        """Return the key with this id, if it is in force, and has not ended its token of that id."""
        wanted = {"key_id": key_id, "token_id": token_id}
        row = self._database.read(lambda connection: connection.execute(_PARENT, wanted).one_or_none())
        record = None if row is None else _record(row)
        return record if record is not None and record.state(now) == "active" else None

    def list(self) -> tuple[KeyRecord, ...]:
        """Return all keys, revoked and expired ones too, by name."""
        query = _records().where(key_secrets.c.expires_at.is_(None)).order_by(keys.c.name)
        return tuple(map(_record, self._database.read(lambda connection: connection.execute(query).all())))

    def get(self, name: str) -> KeyRecord:
        """Return the key of this name. Raises UnknownKey."""
        return self._database.read(lambda connection: _current(connection, name))

    def rotate(self, name: str, overlap_seconds: float, now: float) -> str:
        """Give the key a new secret and return it; the old one holds for `overlap_seconds` more, 0 ends it at once.

        Id, limits and history stay. Raises UnknownKey, and KeyConflict for a revoked or expired key.
        """
        secret = mint_key()
        self._database.run(lambda connection: _replace_secret(connection, name, secret, overlap_seconds, now))
        return secret

    def revoke(self, name: str, now: float) -> None:
        """End the key and all its secrets; a second time changes nothing. Raises UnknownKey."""
        self._database.run(lambda connection: _revoke(connection, name, now))

    def end_tokens(self, name: str) -> None:
        """Raise the key's epoch: its signing secret is another, and no token of before is good. Raises UnknownKey."""
        self._database.run(lambda connection: _raise_epoch(connection, name))

    def revoked_among(self, names: Iterable[str]) -> set[str]:
        """Return those of the keys (their ids) and tokens (key id/token id) that are revoked.

        What an expired key or token had begun may finish.
        """
        wanted = frozenset(names)
        tokens = {name for name in wanted if "/" in name}
        query = select(keys.c.id).where(keys.c.id.in_(wanted - tokens), keys.c.revoked_at.is_not(None))
        revoked = set(self._database.read(lambda connection: connection.scalars(query).all())) if wanted else set()
        if tokens:
            revoked |= self._database.read(lambda connection: revoked_names(connection, tokens))
        return revoked


def _records() -> Select[Any]:
    return select(keys, key_secrets.c.prefix, key_secrets.c.last4).join(key_secrets)


def _holds(now: ColumnElement[float] | float) -> ColumnElement[bool]:
    return or_(key_secrets.c.expires_at.is_(None), key_secrets.c.expires_at > now)


# built once: building costs as much as the look-up itself
_FIND = _records().where(key_secrets.c.digest == bindparam("digest"), _holds(bindparam("now")))
_PARENT = _records().where(
    keys.c.id == bindparam("key_id"),
    key_secrets.c.expires_at.is_(None),
    ~exists().where(revoked_tokens.c.key_id == keys.c.id, revoked_tokens.c.token_id == bindparam("token_id")),
)


def _record(row: Row[Any]) -> KeyRecord:
    fields = dict(row._mapping)
    return KeyRecord(**{**fields, "policy": msgspec.convert(fields["policy"], KeyPolicy)})


def _current(connection: Connection, name: str) -> KeyRecord:
    query = _records().where(keys.c.name == name, key_secrets.c.expires_at.is_(None))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownKey(f"no key is named {name!r}")
    return _record(row)


def _locked(connection: Connection, name: str) -> KeyRecord:
    """Lock the key's row until the transaction ends: SQLite has locked the whole file already and leaves this out."""
    connection.execute(select(keys.c.id).where(keys.c.name == name).with_for_update())
    return _current(connection, name)


def _insert_key(connection: Connection, record: KeyRecord, secret: str) -> None:
    row = {column.name: getattr(record, column.name) for column in keys.c}
    try:
        connection.execute(insert(keys).values({**row, "policy": asdict(record.policy)}))
    except IntegrityError:
        raise KeyConflict(f"the name {record.name!r} is taken") from None
    _insert_secret(connection, record.id, secret, record.created_at)


def _insert_secret(connection: Connection, key_id: str, secret: str, now: float) -> None:
    prefix, last4 = preview(secret)
    row = {"digest": digest(secret), "key_id": key_id, "prefix": prefix, "last4": last4, "created_at": now}
    connection.execute(insert(key_secrets).values(row))


def _replace_secret(connection: Connection, name: str, secret: str, overlap_seconds: float, now: float) -> None:
    record = _locked(connection, name)
    if record.state(now) != "active":
        raise KeyConflict(f"the key {name!r} is {record.state(now)}")
    _end_secrets(connection, record.id, now + overlap_seconds)
    _insert_secret(connection, record.id, secret, now)


def _end_secrets(connection: Connection, key_id: str, at: float) -> None:
    """Let no secret of the key outlive `at`; what ends sooner stays as it is."""
    outlives = _holds(at)
    connection.execute(update(key_secrets).where(key_secrets.c.key_id == key_id, outlives).values(expires_at=at))


def _revoke(connection: Connection, name: str, now: float) -> None:
    record = _locked(connection, name)
    if record.revoked_at is None:
        connection.execute(update(keys).where(keys.c.id == record.id).values(revoked_at=now))


def _raise_epoch(connection: Connection, name: str) -> None:
    record = _locked(connection, name)
    connection.execute(update(keys).where(keys.c.id == record.id).values(epoch=record.epoch + 1))
