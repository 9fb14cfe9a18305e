"""`python -m relay serve`: everything a first run needs, then the server in this process's place."""

import os
import sys
from pathlib import Path

import click

from config.settings import ConfigError, Settings, load
from relay.cli.parameters import default_policy
from relay.core.keys import DEMO_PAGE_KEY
from relay.stores.database import StoreError, open_database
from relay.stores.keys import KeyStore

ROOT = Path(__file__).resolve().parents[2]
FIRST_KEY = "first"


@click.command("serve")
def command() -> None:
    """Create a first key if there is none, say how to call the relay, and start the server."""
    try:
        settings = load()
        _greet(settings, _first_key(settings))
    except (ConfigError, StoreError) as error:
        click.echo(f"The relay does not start:\n{error}", err=True)
        sys.exit(1)
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"])


def _first_key(settings: Settings) -> str | None:
    """Return a new key, or None where keys exist: those cannot be shown again."""
    database = open_database(settings.stores.database_url)
    database.create_tables()
    store = KeyStore(database)
    try:
        is_first = all(record.name == DEMO_PAGE_KEY for record in store.list())  # the page makes one of its own
        return store.create(FIRST_KEY, default_policy(settings))[1] if is_first else None
    finally:
        database.close()


def _greet(settings: Settings, key: str | None) -> None:
    address = "http://" + settings.server.bind.replace("0.0.0.0", "127.0.0.1")
    first = settings.upstreams[0]
    demo = settings.uses_demo
    click.echo(f"Upstream:  {'the built-in demo (set OPENAI_API_KEY for the real thing)' if demo else first.base_url}")
    if key:
        click.echo(f"Your key:  {key}   (shown once; make more with: python -m relay keys create NAME)")
    else:
        click.echo("Your key:  as created before (a new one: python -m relay keys create NAME)")
    model = "demo" if demo else "gpt-4.1"
    body = f'{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"What is a relay?"}}]}}'
    click.echo(
        f"\ncurl -N {address}/v1/chat/completions -H 'Authorization: Bearer {key or 'YOUR_KEY'}' \\\n"
        f"  -H 'Content-Type: application/json' -d '{body}'\n"
    )
    click.echo(f"Address:   {address}")
    if settings.demo.page:
        click.echo(f"Page:      {address}/demo/")
    click.echo()
