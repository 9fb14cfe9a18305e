"""A private Redis on loopback: a directory, a port and a process of its own, which a test may kill and stop."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_SECONDS_MAX = 10


class RedisServer:
    """`url`, `socket_url`: its first database. `client`: how a test looks into it. Keeps nothing on the disk."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.url, self.socket_url = f"redis://127.0.0.1:{self.port}", f"unix://{home}/socket"
        self.client = redis.Redis(
            port=self.port, socket_timeout=START_SECONDS_MAX, decode_responses=True, retry=Retry(NoBackoff(), 0)
        )

    def start(self) -> None:
        """Return once it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--unixsocket", self._home / "socket"]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(["redis-server", *options], cwd=self._home, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Redis does not start:\n{(self._home / 'log').read_text()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it without a word; what it knew is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS_MAX)
            self._process = None

    def pause(self) -> None:
        """From now on it accepts and reads nothing, and keeps what it knows."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


def installed() -> bool:
    """Whether there is a server to start."""
    return shutil.which("redis-server") is not None


@contextmanager
def serving() -> Iterator[RedisServer]:
    """A server that runs, until the block ends."""
    home = Path(tempfile.mkdtemp(prefix="relay-redis-"))
    server = RedisServer(home)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        server.client.close()
        shutil.rmtree(home, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
