"""`python -m relay streams`: what runs on this host, of any key, and an end to it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.control import control_directory
from config.settings import ConfigError, load
from relay.cli.key_views import as_json

SECONDS_MAX = 5.0
COLUMNS = ("id", "key", "route", "model", "status", "age", "frames", "worker")


@click.group("streams")
def command() -> None:
    """List what runs in the workers of this host, and end it. Redis is not needed."""


@command.command("list")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def list_streams(is_json: bool) -> None:
    """Show live streams: kept ones and tasks by their stream's id, others by their request's."""
    streams = [
        {**stream, "worker": worker} for worker, said in _ask({"do": "list"}) for stream in said.get("streams", ())
    ]
    streams.sort(key=lambda stream: -stream["age_seconds"])
    if is_json:
        click.echo(as_json(streams))
    else:
        _print_table(streams)


@command.command("cancel")
@click.argument("name", metavar="ID")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def cancel_stream(name: str, is_json: bool) -> None:
    """End the stream, the task or the request of this id, whatever its key. Exit status 1 where none runs."""
    cancelled = sum(said.get("cancelled", 0) for _, said in _ask({"do": "cancel", "id": name}))
    if is_json:
        click.echo(as_json({"id": name, "cancelled": cancelled}))
    if not cancelled:
        raise click.ClickException(f"nothing with the id {name!r} runs here")


def _ask(question: dict[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What each worker says, by its pid."""
    try:
        directory = control_directory(load())
    except ConfigError as refusal:
        raise click.ClickException(str(refusal)) from None
    answered = 0
    for path in sorted(directory.glob("*.sock")):
        try:
            said = _converse(path, question)
        except (OSError, ValueError):  # its worker was killed
            continue
        answered += 1
        yield int(path.stem), said
    if not answered:
        raise click.ClickException(f"no relay of this user listens in {directory}")


def _converse(path: Path, question: dict[str, str]) -> dict[str, Any]:
    descriptor = os.open(path.parent, os.O_DIRECTORY)
    try:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
            sock.settimeout(SECONDS_MAX)
            sock.connect(f"/proc/self/fd/{descriptor}/{path.name}")
            sock.sendall(json.dumps(question).encode() + b"\n")
            return dict(json.loads(sock.makefile("rb").readline()))
    finally:
        os.close(descriptor)


def _print_table(streams: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for stream in streams:
        cells = (stream["id"], stream["key_id"], stream["route"], stream["model"], stream["status"])
        numbers = (f"{stream['age_seconds']:.0f} s", str(stream["frames"]), str(stream["worker"]))
        # Text: a model's name in square brackets is no markup
        table.add_row(*(Text(str(cell or "-")) for cell in (*cells, *numbers)))
    Console().print(table)
