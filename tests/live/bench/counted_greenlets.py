"""How many greenlets a process has: it is asked by a signal, and answers in a file."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from tests.live.bench.waiting import until

TOLD_SECONDS_MAX = 10.0


class Greenlets:
    """Of processes that were started with `environ`; `directory` gets their answers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        asked_for = Path(__file__).parent / "greenlets"
        self.environ = {"PYTHONPATH": str(asked_for), "GREENLETS_TOLD_IN": str(directory)}

    def count(self, pids: Iterable[int]) -> int:
        return sum(map(self._count, pids))

    def _count(self, pid: int) -> int:
        path = self._directory / str(pid)
        path.unlink(missing_ok=True)
        os.kill(pid, signal.SIGRTMIN)
        until(path.exists, TOLD_SECONDS_MAX, "the number of greenlets")
        return int(path.read_text())
