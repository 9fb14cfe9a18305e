"""A private PostgreSQL on loopback: a directory, a port and a process of its own, which ends with the test run."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

START_SECONDS_MAX = 30
PASSWORD = "canary-postgres-password"


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL on loopback; `url` names its first database."""

    port: int
    process: subprocess.Popen[bytes]
    numbers: Iterator[int]

    @property
    def url(self) -> str:
        return self._url("postgres")

    def fresh_database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"relay_{next(self.numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql://relay:{PASSWORD}@127.0.0.1:{self.port}/{name}"


def installed() -> Path | None:
    """The directory of the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def serving(programs: Path) -> Iterator[Server]:
    # not below pytest's own directory: that one is closed to the user that PostgreSQL must run as
    home = Path(tempfile.mkdtemp(prefix="relay-postgresql-"))
    try:
        yield from _serve(programs, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _serve(programs: Path, home: Path) -> Iterator[Server]:
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    if user:
        shutil.chown(home, user)
    _initialise(programs, home, user)
    port = _free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [programs / "postgres", "-D", home / "data", *options]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, user=user, cwd=home, stdout=log, stderr=log)
    server = Server(port, process, count(1))
    try:
        _wait_until_ready(server, home / "log")
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(START_SECONDS_MAX)


def _initialise(programs: Path, home: Path, user: str | None) -> None:
    secret = home / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    options = ["--username=relay", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-locale", "--encoding=UTF8"]
    command = [programs / "initdb", "--no-sync", *options, "-D", home / "data"]
    subprocess.run(command, user=user, cwd=home, check=True, capture_output=True, timeout=START_SECONDS_MAX)


def _wait_until_ready(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            psycopg.connect(server.url).close()
            return
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text()}") from None
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
