"""Programs that the bench starts: pinned to a core, their output in a file, ended by their own pids."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.processes import tree

ROOT = Path(__file__).parents[1]
PATH = f"{ROOT}/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class BenchError(Exception):
    """What keeps the bench from measuring; the text says what to do."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environ(more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the caller's environment reaches a peer: no key, no proxy, no relay setting."""
    return {"PATH": PATH, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **more}


def run(command: Sequence[str], more: Mapping[str, str], seconds_max: float = 60.0) -> str:
    """Standard output of a program that ends by itself; BenchError, with all it said, unless it exits 0 in time."""
    done = subprocess.run(
        command, cwd=ROOT, env=environ(more), capture_output=True, text=True, timeout=seconds_max, check=False
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Program:
    """One running program; its output goes to `directory`/NAME.log."""

    def __init__(
        self, name: str, command: Sequence[str], directory: Path, core: int, more: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log_path = directory / f"{name}.log"
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *command], cwd=ROOT, env=environ(more or {}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], seconds_max: float = 60.0) -> None:
        """BenchError, with the end of its log, when it ends before or is not ready in time; it is then stopped."""
        deadline = time.monotonic() + seconds_max
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BenchError(f"{self.name} did not start:\n{self.log_path.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def stop(self, seconds_max: float = 10.0) -> None:
        """SIGTERM; what of it is left after that is killed. Once more does no harm."""
        if self._process.poll() is not None:
            return
        pids = tree(self.pid)
        self._process.terminate()
        try:
            self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            for pid in pids:
                _kill(pid)
            self._process.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def ask_status(port: int, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> int:
    """The status of one request; 0 when there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
