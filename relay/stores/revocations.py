"""Which client tokens were ended before their time."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from relay.stores.database import Database
from relay.stores.schema import revoked_tokens

# Longer than any token may live ([auth] token_seconds_max), with what clocks may differ.
KEPT_SECONDS = 86_400 + 600
_INSERT = {
    "sqlite": sqlite.insert(revoked_tokens).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(revoked_tokens).on_conflict_do_nothing(),
}


class Revocations:
    """Raises StoreError when the database cannot do it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revoke(self, key_id: str, token_id: str, now: float) -> None:
        """End the key's token of this id, whether or not there is one; a second time changes nothing."""
        row = {"key_id": key_id, "token_id": token_id, "kept_until": now + KEPT_SECONDS}

        def write(connection: Connection) -> None:
            connection.execute(delete(revoked_tokens).where(revoked_tokens.c.kept_until < now))
            connection.execute(_INSERT[connection.dialect.name], row)

        self._database.run(write)


def revoked_names(connection: Connection, names: Iterable[str]) -> set[str]:
    """Return those of the tokens, each named key id/token id, that were ended."""
    wanted = set(names)
    ids = {name.partition("/")[2] for name in wanted}
    query = select(revoked_tokens.c.key_id, revoked_tokens.c.token_id).where(revoked_tokens.c.token_id.in_(ids))
    return {f"{key_id}/{token_id}" for key_id, token_id in connection.execute(query)} & wanted
