"""The secret that tokens and tickets are signed under: the configured one, or one made once and kept beside the
database.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from relay.stores.database import StoreError
from relay.stores.engines import ROOT

SECRET_BYTES = 32
SUFFIX = ".secret"
# PostgreSQL has no file here to be beside of; several hosts must be given the same secret anyhow.
ELSEWHERE = Path("var/relay")


def open_secret(configured: str, database_url: str) -> bytes:
    """Return `configured` as bytes, or, where it is empty, the secret beside the database: 64 hex digits, made by
    whichever process comes first.

    Raises StoreError where the file cannot be made or holds no whole secret.
    """
    if configured:
        return configured.encode()
    path = secret_path(database_url)
    try:
        return _kept(path)
    except OSError as problem:
        raise StoreError(f"cannot keep the token secret {path}: {problem.strerror}") from None


def secret_path(database_url: str) -> Path:
    """Return where the secret of this database is kept. Raises StoreError for what is no URL."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise StoreError("DATABASE_URL is not a URL") from None  # the cause may quote the password
    beside = url.database if url.drivername == "sqlite" and url.database else ELSEWHERE
    path = ROOT / beside
    return path.with_name(path.name + SUFFIX)


def _kept(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path) as descriptor:
        kept = os.read(descriptor, 1024).strip()
        if not kept:
            kept = secrets.token_hex(SECRET_BYTES).encode()
            os.write(descriptor, kept + b"\n")
            os.fsync(descriptor)
    if len(kept) < SECRET_BYTES:
        raise StoreError(f"the token secret {path} is not whole: delete it, which ends all client tokens")
    return kept


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The open file, alone: of processes that start together one makes the secret, and the others read it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
