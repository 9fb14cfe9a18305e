"""The relay as in production: gunicorn with its gevent worker, the command line for keys, /proc to look inside."""

import http.client
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.live.bench import procfs
from tests.live.bench.ports import free_port
from tests.live.bench.program import Program, run

UPSTREAM_KEY = "sk-canary-upstream-7Qm2ZtXw9LrB4sVd"


class RelayProcess:
    """A running relay. `environ` overrides any setting; `directory` gets its database and its output; `prefix`: a
    command that runs commands.
    """

    def __init__(
        self, upstream_base_url: str, directory: Path, environ: Mapping[str, str], prefix: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self.database_path = directory / "relay.db"
        self.secrets = {"the upstream's key": UPSTREAM_KEY}
        self._environ = {
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{self.database_path}",
            "OPENAI_BASE_URL": upstream_base_url,
            "OPENAI_API_KEY": UPSTREAM_KEY,
            **environ,
        }
        command = [*prefix, sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"]
        self.program = Program("relay", command, directory, self._environ)

    def wait_ready(self) -> "RelayProcess":
        self.program.wait_until(self._is_live)
        return self

    @property
    def base_url(self) -> str:
        """What an SDK is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    def create_key(self, name: str, **policy: object) -> str:
        """`keys create NAME`; rpm=600 becomes `--rpm 600`, ["a", "b"] repeats it; resume=True is `--resume`."""
        key = self.command_line("keys", "create", name, *options(policy)).strip()
        self.secrets[f"the key {name}"] = key
        return key

    def command_line(self, *arguments: str) -> str:
        """Standard output of `python -m relay ...` on this relay's stores. AssertionError unless it exits 0."""
        return run([sys.executable, "-m", "relay", *arguments], self._environ)

    def stdout(self) -> str:
        return self.program.stdout()

    def stderr(self) -> str:
        return self.program.stderr()

    def tail(self) -> str:
        return self.program.tail()

    def log_lines(self) -> list[dict[str, object]]:
        """The canonical lines so far, one for each request that has ended, in the order of their ends."""
        return canonical_lines(self.stdout())

    def wait_for_log_line(self, timeout_seconds: float = 2.0, **wanted: object) -> dict[str, object]:
        """The last line with these values; AssertionError when none comes in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            fitting = [line for line in self.log_lines() if wanted.items() <= line.items()]
            if fitting:
                return fitting[-1]
            assert time.monotonic() < deadline, f"no log line with {wanted}; the last: {self.log_lines()[-3:]}"
            time.sleep(0.02)

    def worker_pids(self) -> list[int]:
        return procfs.children(self.program.pid)

    def descriptors(self) -> int:
        """Open descriptors of all workers, but for the database's: its pool opens them lazily and keeps them."""
        targets = [target for pid in self.worker_pids() for target in procfs.descriptors(pid)]
        return sum(not target.startswith(str(self.database_path)) for target in targets)

    def sockets_to(self, port: int) -> int:
        """The workers' connections to a port of an upstream, half-closed ones too."""
        return sum(sock.remote_port == port for sock in self._sockets())

    def sockets_from_callers(self) -> int:
        return sum(sock.local_port == self.port for sock in self._sockets())

    def stop(self, timeout_seconds: float = 15.0) -> int:
        """SIGTERM, wait, return the exit code. Once more does no harm."""
        return self.program.stop(timeout_seconds)

    def _sockets(self) -> list[procfs.TcpSocket]:
        return [sock for pid in self.worker_pids() for sock in procfs.tcp_sockets(pid)]

    def _is_live(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health/live")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


def options(policy: Mapping[str, object]) -> list[str]:
    """A policy as the command line takes it."""
    words: list[str] = []
    for name, value in policy.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            words += ["--" + name.replace("_", "-"), *([] if one is True else [str(one)])]
    return words


def canonical_lines(output: str) -> list[dict[str, object]]:
    """The log lines of requests among all that was printed."""
    return [line for text in output.split("\n") if (line := _canonical(text))]


def _canonical(text: str) -> dict[str, object]:
    """The line as a dict, or an empty one when it is not the canonical line of a request."""
    try:
        line = json.loads(text) if text.startswith("{") else {}
    except ValueError:
        return {}
    return line if "request_id" in line else {}
