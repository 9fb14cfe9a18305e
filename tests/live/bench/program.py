"""A program under test, run as a real process with its output in files, and ended by its own pid."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Nothing else of the developer's environment reaches a program: no provider's key, no proxy, no relay setting.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


def clean_environ(more: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **more}


def run(command: Sequence[str], environ: Mapping[str, str], timeout_seconds: float = 60.0, given: str = "") -> str:
    """Standard output of a program that is given this and ends by itself. AssertionError, with all it said, unless it
    exits 0.
    """
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environ(environ), capture_output=True, text=True,
        timeout=timeout_seconds, check=False, input=given,
    )  # fmt: skip
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, f"{' '.join(command)[:200]}: exit {done.returncode}\n{said}"
    return done.stdout


class Program:
    """One running process; `directory` gets NAME.out and NAME.err."""

    def __init__(self, name: str, command: Sequence[str], directory: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.stdout_path = directory / f"{name}.out"
        self.stderr_path = directory / f"{name}.err"
        with self.stdout_path.open("wb") as out, self.stderr_path.open("wb") as err:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=clean_environ(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal that killed it."""
        return self._process.poll()

    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace")

    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    def tail(self, lines: int = 40) -> str:
        """The ends of both outputs, for the report of a failed test."""
        parts = [(path.name, path.read_text(errors="replace")) for path in (self.stdout_path, self.stderr_path)]
        return "\n".join(f"--- {name}\n" + "\n".join(text.splitlines()[-lines:]) for name, text in parts)

    def wait_until(self, ready: Callable[[], bool], timeout_seconds: float = 20.0) -> None:
        """AssertionError, with the tail, when it ends before it is ready or is not ready in time."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            assert self.exit_code is None, f"{self.name} ended with {self.exit_code}\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} not ready in {timeout_seconds} s\n{self.tail()}"
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stop(self, timeout_seconds: float = 15.0) -> int:
        """SIGTERM and wait; SIGKILL and AssertionError when that does not end it. Return its exit code."""
        self._process.terminate()
        return self.wait(timeout_seconds)

    def wait(self, timeout_seconds: float = 15.0) -> int:
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.name} did not end in {timeout_seconds} s\n{self.tail()}") from None
