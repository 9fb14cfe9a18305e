"""Lends the stores to a verb: whatever they refuse becomes one message and exit status 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from config.settings import ConfigError, Settings, load
from relay.core.errors import RelayError
from relay.stores.database import StoreError, open_database
from relay.stores.keys import KeyConflict, KeyStore, UnknownKey
from relay.stores.secret import open_secret
from relay.tokens import TokenSigner


@contextmanager
def key_store() -> Iterator[tuple[KeyStore, Settings]]:
    """The keys, and the settings that say where they are."""
    try:
        settings = load()
        database = open_database(settings.stores.database_url)
        try:
            database.create_tables()
            yield KeyStore(database), settings
        finally:
            database.close()
    except (ConfigError, StoreError, UnknownKey, KeyConflict, RelayError) as refusal:
        raise click.ClickException(str(refusal)) from None


def signer(settings: Settings) -> TokenSigner:
    """Signs as the server does. Raises StoreError."""
    return TokenSigner(open_secret(settings.auth.token_secret, settings.stores.database_url))
