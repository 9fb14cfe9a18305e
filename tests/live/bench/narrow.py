"""Narrow places for a relay: a disk that is full, descriptors that are used up, a log that nobody reads."""

import contextlib
import fcntl
import os
import resource
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from tests.live.bench.relay_process import RelayProcess

PIPE_BYTES = 4096  # the smallest that Linux makes


class Disk(Protocol):
    """Where a relay keeps its database and its output."""

    def fill(self, relay: RelayProcess) -> None: ...

    def free(self, relay: RelayProcess) -> None: ...


class SmallDisk:
    """A file system of a few MiB in memory, at `path`."""

    def __init__(self, path: Path) -> None:
        self._ballast = path / "ballast"

    def fill(self, relay: RelayProcess) -> None:
        with self._ballast.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass

    def free(self, relay: RelayProcess) -> None:
        self._ballast.unlink()


class LimitedFiles:
    """For those who may not mount: no file of the workers grows, their log among them."""

    def fill(self, relay: RelayProcess) -> None:
        self._limit(relay, 4096)

    def free(self, relay: RelayProcess) -> None:
        self._limit(relay, resource.RLIM_INFINITY)

    def _limit(self, relay: RelayProcess, size_bytes: int) -> None:
        for pid in relay.worker_pids():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[Disk | None]:
    """Mount one at the path; None where one may not."""
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield SmallDisk(path) if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=10)


def limit_descriptors(relay: RelayProcess, count: int) -> None:
    """From now on no worker may open a descriptor with this number or a higher one."""
    for pid in relay.worker_pids():
        _, highest = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, highest))


class PipedRelay(RelayProcess):
    """A relay whose standard output is a small pipe, which is read when somebody asks: `read` and no sooner."""

    def __init__(self, upstream_base_url: str, directory: Path, environ: Mapping[str, str]) -> None:
        pipe = directory / "relay.out"
        os.mkfifo(pipe)
        self._reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        super().__init__(upstream_base_url, directory, environ)
        pipe.unlink()
        pipe.touch()  # for whoever looks into the output

    def read(self) -> bytes:
        """All that the pipe holds now."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._reader, PIPE_BYTES)
        return b""

    def close(self) -> None:
        os.close(self._reader)
