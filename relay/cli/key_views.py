"""What is shown of keys: as a table, as lines, as JSON. Never a key, only its prefix and last four characters."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay.core.keys import KeyPolicy
from relay.stores.keys import KeyRecord

LIMITS = {"rpm": "rpm", "concurrent": "at once", "tpm": "tpm", "max_output_tokens": "output tokens"}
FOLDED = ("name", "limits")
COLUMNS = ("name", "key", "state", "created", "expires", "limits")


def as_json(shown: object) -> str:
    return json.dumps(shown, indent=2, ensure_ascii=False)


def view(record: KeyRecord, now: float) -> dict[str, Any]:
    """One key for a program to read; times in ISO 8601, UTC."""
    times = {name: _iso(getattr(record, name)) for name in ("created_at", "expires_at", "revoked_at")}
    named = {"id": record.id, "name": record.name, "prefix": record.prefix, "last4": record.last4}
    return {**named, "state": record.state(now), **times, "policy": asdict(record.policy)}


def print_table(records: Iterable[KeyRecord], now: float) -> None:
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column not in FOLDED)
    for record in records:
        table.add_row(*map(Text, _cells(record, now)))  # Text: a name in square brackets is no markup
    Console().print(table)


def print_lines(record: KeyRecord, now: float) -> None:
    """One key, one line for each thing known of it; limits that do not apply are left out."""
    shown = {"id": record.id, **dict(zip(COLUMNS, _cells(record, now), strict=True)), **_rest(record.policy)}
    lines = Table.grid(padding=(0, 2))
    for name, value in shown.items():
        lines.add_row(Text(name), Text(value, overflow="fold"))
    Console().print(lines)


def _cells(record: KeyRecord, now: float) -> tuple[str, ...]:
    key = f"{record.prefix}…{record.last4}"
    times = (_minute(record.created_at), _minute(record.expires_at))
    return (record.name, key, record.state(now), *times, _limits(record.policy))


def _limits(policy: KeyPolicy) -> str:
    limits = [f"{getattr(policy, name)} {unit}" for name, unit in LIMITS.items() if getattr(policy, name)]
    budget = [f"{policy.budget_usd:g} USD a {policy.budget_per}"] if policy.budget_usd else []
    return ", ".join(limits + budget) or "none"


def _rest(policy: KeyPolicy) -> dict[str, str]:
    rest = {"models": " ".join(policy.models), "origins": " ".join(policy.origins)}
    rest |= {"resume": "yes" if policy.resume else "", "detach": policy.detach}
    return {name: value for name, value in rest.items() if value}


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _minute(moment: float | None) -> str:
    return "never" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"
