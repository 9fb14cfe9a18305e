"""What is shown of a run: a table, lines below it, JSON. "?" is what was not measured."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay.core.comparison.figures import Cost, Price
from relay.core.comparison.rows import RELAY, Row
from relay.core.comparison.savings import Savings

UNKNOWN = "?"
COLUMNS = ("calls", "errors", "TTFT p50", "p95", "added", "tokens/s", "cost $")


def print_table(rows: Sequence[Row]) -> None:
    """Below each model's name and price; times in milliseconds."""
    for model, own in groupby(rows, lambda row: row.model):
        lines = list(own)
        table = Table(box=None, pad_edge=False)
        for column in COLUMNS:
            table.add_column(column, justify="left" if column == COLUMNS[0] else "right", no_wrap=True)
        for row in lines:
            table.add_row(*map(Text, _cells(row)))  # Text: square brackets are no markup
        click.echo(f"{model} ({_price(lines[0].price)})")
        Console().print(table)
        click.echo()


def notes(rows: Sequence[Row]) -> list[str]:
    """What failed, and what could not be counted."""
    said = []
    for row in rows:
        said += [f"{row.title}: {count} x {failure}" for failure, count in row.figures.failures.items()]
        if row.figures.without_usage:
            said.append(f"{row.title}: {row.figures.without_usage} answers without usage; their tokens are not known")
    return said


def savings_line(first: str, second: str, saved: Savings | None) -> str:
    """The comparison of two models, for people."""
    if saved is None:
        return f"{first} -> {second}: not known; both need a price in [models.prices] and a usage in their answers"
    share = "" if saved.share is None else f" ({saved.share:.1%})"
    verb, amount = ("saves", saved.month_usd) if saved.month_usd >= 0 else ("costs", -saved.month_usd)
    return (
        f"{first} -> {second}: {saved.calls:,} calls like these a month cost ${saved.first_usd:,.2f} and "
        f"${saved.second_usd:,.2f}: {verb} ${amount:,.2f} a month{share}, ${amount * 12:,.2f} a year"
    )


def view(row: Row) -> dict[str, Any]:
    """One row for a program; null is what was not measured."""
    own = row.figures
    return {
        **{"model": row.model, "run": row.kind, "way": row.way, "requests": own.requests},
        **{"error_rate": own.error_rate, "failures": dict(own.failures)},
        **{"ttft_ms_p50": own.ttft_ms_p50, "ttft_ms_p95": own.ttft_ms_p95, "added_ttft_ms": row.added_ms},
        **{"tokens_per_second": own.tokens_per_second, "input_tokens": own.input_tokens},
        **{"output_tokens": own.output_tokens, "answers_without_usage": own.without_usage},
        "price_usd_per_million": None if row.price is None else {"input": row.price.input, "output": row.price.output},
        "cost_usd": None if own.cost is None else own.cost.usd,
        "cost_is_complete": None if own.cost is None else own.cost.complete,
    }


def _cells(row: Row) -> tuple[str, ...]:
    own = row.figures
    errors = UNKNOWN if own.error_rate is None else f"{own.error_rate:.1%}"
    added = _shown(row.added_ms, "+") if row.way == RELAY else ""
    times = (_shown(own.ttft_ms_p50), _shown(own.ttft_ms_p95), added, _shown(own.tokens_per_second))
    return (f"{own.requests} {row.kind}, {row.way}", errors, *times, _cost(own.cost))


def _shown(value: float | None, sign: str = "") -> str:
    return UNKNOWN if value is None else f"{value:{sign},.1f}"


def _price(price: Price | None) -> str:
    return "price unknown" if price is None else f"${price.input:g} in, ${price.output:g} out per million tokens"


def _cost(cost: Cost | None) -> str:
    if cost is None:
        return UNKNOWN
    return f"{'' if cost.complete else '>= '}{cost.usd:,.4f}"
