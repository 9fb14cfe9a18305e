"""`python -m relay tokens`: mint client tokens for a key, and end all that a key has."""

import time
from datetime import UTC, datetime
from typing import Any

import click

from relay.cli.key_views import as_json
from relay.cli.parameters import Origin, Printable
from relay.cli.stores import key_store, signer
from relay.core.keys import mint_token_id
from relay.core.tokens import SCOPES, SECONDS_DEFAULT, Claims, TokenTimes, granted, wish_for
from relay.stores.keys import KeyConflict
from relay.tokens import TokenTooLong

COUNT = click.IntRange(1, 10**12)
LIMITS = ("requests", "tokens", "concurrent", "cost_usd")


@click.group("tokens")
def command() -> None:
    """Mint and end client tokens: what a browser may hold."""


@command.command("mint")
@click.argument("keyname")
@click.option("--sub", type=Printable(128), help="Whom it is for, as you call them; streams belong to them.")
@click.option("--seconds", type=int, default=SECONDS_DEFAULT, show_default=True, help="How long it holds.")
@click.option("--model", "models", multiple=True, type=Printable(128), help="Allow only this model; repeatable.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Cover only this; repeatable.")
@click.option("--origin", "origins", multiple=True, type=Origin(), help="Allow only pages of this origin; repeatable.")
@click.option("--requests", type=COUNT, help="Requests in all.")
@click.option("--tokens", type=COUNT, help="Tokens in all.")
@click.option("--concurrent", type=COUNT, help="Requests at once.")
@click.option("--cost-usd", type=click.FloatRange(min=0, min_open=True, max=10**9), help="US dollars in all.")
@click.option("--max-output-tokens", type=COUNT, help="Ceiling for one answer.")
@click.option("--json", "is_json", is_flag=True, help="Print the answer of POST /v1/client_secrets.")
def mint(keyname: str, seconds: int, is_json: bool, **asked: Any) -> None:
    """Print a client token of the key KEYNAME. More than the key may is refused."""
    with key_store() as (store, settings):
        record, now = store.get(keyname), time.time()
        if record.state(now) != "active":
            raise KeyConflict(f"the key {keyname!r} is {record.state(now)}")
        times = TokenTimes(now, settings.auth.token_seconds_max)
        claims = granted(wish_for(_members(seconds, asked)), record.policy, mint_token_id(), times)
        try:
            token = signer(settings).sign(claims, record.id, record.epoch)
        except TokenTooLong:
            raise click.ClickException("the token would not fit into a header: fewer models or origins") from None
    _print(token, claims, is_json)


@command.command("end")
@click.argument("keyname")
def end(keyname: str) -> None:
    """End all client tokens of the key KEYNAME and its signing secret; the key stays. What runs may finish."""
    with key_store() as (store, _):
        store.end_tokens(keyname)
    click.echo(f"Ended all client tokens of {keyname}; its signing secret is another.", err=True)


def _members(seconds: int, asked: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, as the body of POST /v1/client_secrets says it."""
    given = {name: value for name, value in asked.items() if value not in (None, ())}
    limits = {name: given.pop(name) for name in LIMITS if name in given}
    return {**given, "expires_after": {"seconds": seconds}, "limits": limits}


def _print(token: str, claims: Claims, is_json: bool) -> None:
    expires_at = int(claims.exp)
    if is_json:
        fields = {"object": "relay.client_secret", "value": token, "id": claims.jti, "expires_at": expires_at}
        click.echo(as_json(fields))
        return
    click.echo(f"{claims.jti}, until {datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d %H:%M:%S} UTC:", err=True)
    click.echo(token)
