"""`python -m relay usage`: what the keys have used, summed up from the ledger."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.settings import ConfigError, load
from relay.cli.key_views import as_json
from relay.cli.parameters import seconds_of
from relay.stores.database import Database, StoreError, open_database
from relay.stores.keys import KeyStore, UnknownKey
from relay.stores.ledger import GROUPS, Ledger, Sums

# short, so that names of models fit beside them into 80 columns
COLUMNS = ("requests", "errors", "tokens in", "tokens out", "USD", "unknown")


class Since(click.ParamType[float]):
    """A moment that is over, as UTC epoch seconds: a span before now, or ISO 8601, in UTC where it names no zone."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        now, span = time.time(), seconds_of(value)
        try:
            moment = _epoch_seconds(value) if span is None else now - span
        except ValueError:
            self.fail(f"{value!r} is neither ISO 8601 nor a span like 30d, 12h or 10m", param, ctx)
        return max(0.0, moment) if moment <= now else self.fail(f"{value!r} is in the future", param, ctx)


@click.command("usage")
@click.option("--key", "key_name", help="Only the key of this name.")
@click.option("--since", type=Since(), default="30d", show_default=True, help="A span before now, or ISO 8601.")
@click.option("--by", type=click.Choice(GROUPS), default="key", show_default=True, help="One row for each.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def command(key_name: str | None, since: float, by: str, is_json: bool) -> None:
    """Show requests, errors, tokens and cost; tokens are the upstreams' own counts, days are UTC.

    Errors are what was refused, failed or was cut, but not what a caller left. Where the price or the tokens of an
    answer are not known, it is counted as "unknown" and its cost is not in the sum.
    """
    with _database() as database:
        key_id = None if key_name is None else KeyStore(database).get(key_name).id
        ledger = Ledger(database)
        rows, total = ledger.sums_by(by, since, key_id), ledger.sums(since, key_id)
    if is_json:
        click.echo(as_json(_view(by, since, rows, total)))
    else:
        _print_table(by, rows, total)


def _view(by: str, since: float, rows: dict[str | None, Sums], total: Sums) -> dict[str, object]:
    began = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    return {"since": began, "rows": [{by: name, **asdict(sums)} for name, sums in rows.items()], "total": asdict(total)}


def _print_table(by: str, rows: dict[str | None, Sums], total: Sums) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(by, overflow="fold")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for name, sums in rows.items():
        table.add_row(*map(Text, (name or "none", *_cells(sums))))  # Text: a name in square brackets is no markup
    table.add_row(*map(Text, ("total", *_cells(total))), style="bold")
    Console().print(table)


def _cells(sums: Sums) -> tuple[str, ...]:
    counts = (sums.requests, sums.errors, sums.input_tokens, sums.output_tokens)
    return (*(f"{count:,}" for count in counts), f"{sums.cost_usd:,.4f}", f"{sums.cost_unknown:,}")


def _epoch_seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@contextmanager
def _database() -> Iterator[Database]:
    """Lend the database; whatever refuses becomes one message and exit status 1."""
    try:
        database = open_database(load().stores.database_url)
        try:
            database.create_tables()
            yield database
        finally:
            database.close()
    except (ConfigError, StoreError, UnknownKey) as refusal:
        raise click.ClickException(str(refusal)) from None
