"""What every request cost: one row each, written many at a time and summed up in SQL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, FromClause, Select, func, select
from sqlalchemy.dialects import postgresql, sqlite

from relay.core.entry import Entry
from relay.core.routes import MODELS
from relay.stores.database import Database
from relay.stores.schema import keys, usage

# A batch may come twice: when its greenlet was killed, or the connection broke, while it was being committed.
_INSERT = {
    "sqlite": sqlite.insert(usage).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(usage).on_conflict_do_nothing(),
}
_DAY = {
    "sqlite": func.date(usage.c.begun_at, "unixepoch"),
    "postgresql": func.to_char(func.timezone("UTC", func.to_timestamp(usage.c.begun_at)), "YYYY-MM-DD"),
}
_NAMED = usage.outerjoin(keys, keys.c.id == usage.c.key_id)
# what the rows are grouped by, and where it is found; the argument is the name of the SQL dialect
_GROUPS: dict[str, tuple[Callable[[str], ColumnElement[Any]], FromClause]] = {
    "key": (lambda dialect: func.coalesce(keys.c.name, usage.c.key_id), _NAMED),
    "model": (lambda dialect: usage.c.model, usage),
    "day": (_DAY.__getitem__, usage),
}
GROUPS = tuple(_GROUPS)

_IS_WHOLE = usage.c.status.between(200, 399) & (usage.c.end == "done")
_IS_BILLED = usage.c.upstream.is_not(None) & usage.c.status.between(200, 399) & (usage.c.route != MODELS.path)
_SUMS = (
    func.count(),
    func.count().filter(~_IS_WHOLE & (usage.c.end != "client_gone")),
    func.coalesce(func.sum(usage.c.input_tokens), 0),
    func.coalesce(func.sum(usage.c.output_tokens), 0),
    func.coalesce(func.sum(usage.c.cost_usd), 0.0),
    func.count().filter(_IS_BILLED & usage.c.cost_usd.is_(None)),
)


@dataclass(frozen=True, slots=True)
class Sums:
    """Figures of several requests. Tokens and cost are sums of what is known.

    `errors`: refused, failed or cut, but not left by the caller. `cost_unknown`: requests that an upstream answered
    and whose cost is not in the sum, because the price or the usage is not known.
    """

    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    cost_unknown: int


class Ledger:
    """Every method raises StoreError when the database cannot do it. Times are UTC epoch seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, entries: Sequence[Entry]) -> None:
        """Add all of the entries, or, when it raises, none; those that are there already are left as they are."""
        rows = [msgspec.structs.asdict(entry) for entry in entries]
        if rows:
            self._database.run(lambda connection: connection.execute(_INSERT[connection.dialect.name], rows))

    def sums(self, since: float, key_id: str | None = None) -> Sums:
        """Return the sums of all requests that began at `since` or later, of one key or of all."""
        query = _since(select(*_SUMS), since, key_id)
        return _sums(self._database.read(lambda connection: connection.execute(query).one()))

    def sums_by(self, group: str, since: float, key_id: str | None = None) -> dict[str | None, Sums]:
        """Return the same for each "key" (by name), "model" (None: no model was named) or "day" (ISO 8601, UTC)."""

        def look(connection: Connection) -> Sequence[Sequence[Any]]:
            column_in, source = _GROUPS[group]
            grouped = column_in(connection.dialect.name).label("grouped")
            query = select(grouped, *_SUMS).select_from(source).group_by(grouped)
            return connection.execute(_since(query, since, key_id)).all()

        rows = sorted(self._database.read(look), key=lambda row: row[0] or "")
        return {row[0]: _sums(row[1:]) for row in rows}


def _since(query: Select[Any], since: float, key_id: str | None) -> Select[Any]:
    query = query.where(usage.c.begun_at >= since)
    return query if key_id is None else query.where(usage.c.key_id == key_id)


def _sums(row: Sequence[Any]) -> Sums:
    """PostgreSQL's sums of integers are decimals."""
    requests, errors, input_tokens, output_tokens, cost_usd, cost_unknown = row
    return Sums(requests, errors, int(input_tokens), int(output_tokens), float(cost_usd), cost_unknown)
