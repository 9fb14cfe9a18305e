"""The load side: mock and load, built from C and run on a core of their own; what load tells becomes an Outcome."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers import Running
from bench.programs import ROOT, BenchError, Program, environ, free_port, is_listening


@dataclass(frozen=True)
class Order:
    """What load is to ask for: `requests` answers of `frames` frames each, `streams` at a time."""

    streams: int
    requests: int
    frames: int
    interval_us: int = 0  # between two frames of a stream; 0: as fast as they are taken
    ramp_ms: int = 0  # over which the streams begin
    seconds_max: int = 60
    filler_bytes: int = 20
    is_stream: bool = True

    def words(self) -> list[str]:
        numbers = {
            "streams": self.streams,
            "requests": self.requests,
            "frames": self.frames,
            "interval-us": self.interval_us,
            "ramp-ms": self.ramp_ms,
            "seconds-max": self.seconds_max,
            "filler": self.filler_bytes,
        }
        words = [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
        return words if self.is_stream else [*words, "--json"]


@dataclass(frozen=True)
class Times:
    """Percentiles of measured times, in nanoseconds."""

    count: int
    p50: int
    p90: int
    p99: int
    max: int


@dataclass(frozen=True)
class Outcome:
    """What became of an order. `faults` names each kind of wrong answer; `unfinished` ones ran out of time."""

    requests: int
    good: int
    unfinished: int
    frames: int
    seconds: float
    reconnects: int
    first_frame: Times
    frame: Times
    whole: Times
    drift: Times
    refusal: int  # the last status that was not 200
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    at_ns: int
    open: int
    frames: int


def parse(line: str) -> Outcome | Progress:
    """One line of load's output."""
    told: dict[str, Any] = json.loads(line)
    if "at_ns" in told:
        return Progress(**told)
    told |= {name: Times(**told[name]) for name in ("first_frame", "frame", "whole", "drift")}
    told["faults"] = {name: count for name, count in told["faults"].items() if count}
    return Outcome(**told)


def build(into: Path) -> Path:
    """Compile mock and load into a folder; BenchError says what is missing."""
    made = subprocess.run(
        ["make", "--silent", "-C", str(ROOT / "bench"), f"OUT={into}"],
        env=environ({}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise BenchError(made.stderr)
    return into


class LoadSide:
    """The mock upstream on `upstream_port`, and load for whoever is asked."""

    def __init__(self, binaries: Path, directory: Path, core: int) -> None:
        self.core = core
        self.upstream_port = free_port()
        self._load = binaries / "load"
        self._mock = Program("mock", [str(binaries / "mock"), str(self.upstream_port)], directory, core)
        self._mock.wait_until(lambda: is_listening(self.upstream_port))

    def call(self, peer: Running, order: Order) -> Outcome:
        """Carry out the order; BenchError when load itself fails."""
        *_, outcome = self.watch(peer, order, progress=())
        if not isinstance(outcome, Outcome):
            raise BenchError("load told no result")
        return outcome

    def watch(
        self, peer: Running, order: Order, progress: tuple[str, ...] = ("--progress",)
    ) -> Iterator[Outcome | Progress]:
        """Progress as it comes, then the outcome."""
        process = subprocess.Popen(
            self._command(peer, order, progress), env=environ({}), stdout=subprocess.PIPE, text=True
        )
        try:
            with process:
                assert process.stdout is not None
                yield from map(parse, process.stdout)
        finally:
            process.kill()
        if process.returncode:
            raise BenchError(f"load ended with {process.returncode}")

    def stop(self) -> None:
        self._mock.stop()

    def _command(self, peer: Running, order: Order, progress: tuple[str, ...]) -> list[str]:
        headers = [word for header in peer.headers for word in ("--header", header)]
        target = ["--port", str(peer.port), "--path", peer.path, *headers]
        return ["taskset", "-c", str(self.core), str(self._load), *target, *order.words(), *progress]
