"""The command line on a database of the test's own, called in this process or as a program."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from relay.stores.database import open_database
from relay.stores.keys import KeyStore

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 60
Call = Callable[..., Result]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own settings; a database below tmp_path."""
    for name in list(os.environ):
        if name.startswith(("RELAY_", "OPENAI_")) or name in ("REDIS_URL", "PORT", "WEB_CONCURRENCY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/relay.db")


@pytest.fixture
def call() -> Call:
    """Call the command line in this process."""
    return lambda *arguments: CliRunner().invoke(main, arguments, prog_name="relay")


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call `python -m relay` as a program; warnings are errors."""
    command = [sys.executable, "-W", "error", "-m", "relay"]
    return lambda *arguments: subprocess.run(
        [*command, *arguments], check=False, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    database = open_database(f"sqlite:///{tmp_path}/relay.db")
    database.create_tables()
    yield KeyStore(database)
    database.close()
