"""`python -m relay keys`: create, list, show, rotate and revoke keys, straight in the database."""

import time
from dataclasses import replace
from typing import Any

import click

from config.settings import Settings
from relay.cli.key_views import as_json, print_lines, print_table, view
from relay.cli.parameters import Dollars, Moment, Origin, Printable, Span, default_policy
from relay.cli.stores import key_store, signer
from relay.core.keys import KeyPolicy
from relay.stores.keys import KeyConflict

COUNT = click.IntRange(0, 1_000_000)
TOKENS = click.IntRange(0, 10**12)


@click.group("keys")
def command() -> None:
    """Create, list, show, rotate and revoke API keys.

    A new key stands alone on standard output and is shown only once. Times are UTC.
    """


@command.command("create")
@click.argument("name", type=Printable(64))
@click.option("--rpm", type=COUNT, help="Requests in any 60 s; 0 is no limit, here and below.")
@click.option("--concurrent", type=COUNT, help="Streams at once.")
@click.option("--tpm", type=TOKENS, help="Tokens a minute.")
@click.option("--budget-usd", type=Dollars(), help="US dollars per day or month.")
@click.option("--per", "budget_per", type=click.Choice(["day", "month"]), help="What the budget is for.")
@click.option("--model", "models", multiple=True, type=Printable(256), help="Allow only this model; repeatable.")
@click.option("--origin", "origins", multiple=True, type=Origin(), help="Allow only this origin; repeatable.")
@click.option("--max-output-tokens", type=TOKENS, help="Ceiling for one answer.")
@click.option("--resume", is_flag=True, default=None, help="All its streams are resumable.")
@click.option("--detach", type=click.Choice(["finish"]), help="Read a stream to its end when its caller has left.")
@click.option("--expires", "expires_at", type=Moment(), help="ISO 8601, or a span from now: 30d, 12h, 10m.")
def create(name: str, expires_at: float | None, **asked: Any) -> None:
    """Create a key; what is not given comes from [limits]."""
    with key_store() as (store, settings):
        record, secret = store.create(name, _policy(settings, asked), expires_at)
    click.echo(f"Created {record.id}. The key is shown only this once:", err=True)
    click.echo(secret)


@command.command("list")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def list_keys(is_json: bool) -> None:
    """List all keys, revoked and expired ones too."""
    with key_store() as (store, _):
        records, now = store.list(), time.time()
    if is_json:
        click.echo(as_json([view(record, now) for record in records]))
    else:
        print_table(records, now)


@command.command("show")
@click.argument("name")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.option("--signing-secret", "wants_secret", is_flag=True, help="Print only the secret that mints its tokens.")
def show(name: str, is_json: bool, wants_secret: bool) -> None:
    """Show one key's state and limits."""
    with key_store() as (store, settings):
        record, now = store.get(name), time.time()
        if wants_secret:
            if record.state(now) != "active":
                raise KeyConflict(f"the key {name!r} is {record.state(now)}")
            click.echo(f'Signs client tokens with "kid": "{record.id}" (HS256). Keep it on your server:', err=True)
            click.echo(signer(settings).signing_secret(record.id, record.epoch))
            return
    if is_json:
        click.echo(as_json(view(record, now)))
    else:
        print_lines(record, now)


@command.command("rotate")
@click.argument("name")
@click.option("--overlap", type=Span(), default="24h", show_default=True, help="How long the old key holds; 0: not.")
def rotate(name: str, overlap: float) -> None:
    """Print a new key for NAME; id, limits and history stay."""
    with key_store() as (store, _):
        secret = store.rotate(name, overlap, time.time())
    click.echo(f"Rotated {name}. The new key is shown only this once:", err=True)
    click.echo(secret)


@command.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """End a key for good, old ones of a rotation too; a second time changes nothing."""
    with key_store() as (store, _):
        store.revoke(name, time.time())
    click.echo(f"Revoked {name}.", err=True)


def _policy(settings: Settings, asked: dict[str, Any]) -> KeyPolicy:
    given = {name: value for name, value in asked.items() if value not in (None, ())}
    return replace(default_policy(settings), **given)
