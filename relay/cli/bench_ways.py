"""The ways of a bench to its models: through the relay, with a key of its own where none is given, and straight."""

import secrets
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from urllib.parse import SplitResult, urlsplit

import click

from config.settings import Settings
from relay.comparison.calling import Way
from relay.core.comparison.rows import DIRECT, RELAY
from relay.core.keys import KeyPolicy
from relay.stores.database import open_database
from relay.stores.keys import KeyStore

KEY_SECONDS = 86_400


@contextmanager
def way_through(settings: Settings, url: SplitResult | None, key: str, models: Sequence[str]) -> Iterator[Way]:
    """Lend the way through a relay: of this configuration where `url` is None. `key` "": one is made for these models,
    and revoked in the end. Raises StoreError.
    """
    base = url or urlsplit("http://" + settings.server.bind.replace("0.0.0.0", "127.0.0.1"))
    base = base._replace(path=base.path + "/v1")
    with nullcontext(key) if key else _key_for(settings, tuple(models)) as known:
        yield Way(RELAY, base, _bearer(known), ssl.create_default_context())


def way_straight(settings: Settings) -> Way:
    """The way to the first upstream. Raises click.UsageError where it is within the relay."""
    if settings.uses_demo:
        raise click.UsageError(
            "--direct: the built-in demo lives within the relay. Start `python -m relay demo-upstream --port 8001`, "
            "and the relay with OPENAI_BASE_URL=http://127.0.0.1:8001/v1."
        )
    first = settings.upstreams[0]
    credential = {"X-API-Key": first.api_key} if first.auth == "x-api-key" else _bearer(first.api_key)
    tls = ssl.create_default_context(cafile=first.ca_file or None)
    return Way(DIRECT, urlsplit(first.base_url), credential if first.api_key else {}, tls)


@contextmanager
def _key_for(settings: Settings, models: tuple[str, ...]) -> Iterator[str]:
    """A key without limits, for these models alone."""
    database = open_database(settings.stores.database_url)
    try:
        database.create_tables()
        store, name = KeyStore(database), "bench-" + secrets.token_hex(4)
        key = store.create(name, KeyPolicy(models=models), time.time() + KEY_SECONDS)[1]
        try:
            yield key
        finally:
            store.revoke(name, time.time())
    finally:
        database.close()


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
