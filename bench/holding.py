"""Many streams held open at a slow pace: what each takes in memory, and what its frames cost meanwhile."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.load_side import Order, Outcome, Progress
from bench.peers import Running
from bench.processes import memory_bytes, wait_until_idle
from bench.samples import Meter, Sample, Usage
from bench.stage import Stage

SETTLE_NS = 1_000_000_000  # after the last stream has begun
STREAMS_PER_SECOND = 250  # begun while the load ramps up


@dataclass(frozen=True)
class Window:
    """What was seen while all streams were open."""

    usage: Usage
    frames: int
    memory_bytes: int


@dataclass(frozen=True)
class Hold:
    """`streams` open at once, each with a frame per interval, watched for `seconds`."""

    name: str
    streams: int
    interval_us: int
    seconds: float

    @property
    def has_floor(self) -> bool:
        """Nothing is measured of a run without a peer."""
        return False

    def measure(self, stage: Stage, peer: str, round_number: int) -> Sample:
        running = stage.restart(peer)
        wait_until_idle(running.pids())
        idle_bytes = memory_bytes(running.pids())
        watcher = _Watcher(stage, running, self)
        outcome = watcher.follow(stage.load_side.watch(running, self.order()))
        sample = Sample(round_number, self.name, peer, {}, outcome.faults, outcome.unfinished)
        if watcher.window is None:
            refusal = f", refused with {outcome.refusal}" if outcome.refusal else ""
            return replace(sample, note=f"held {watcher.open_max} of {self.streams}{refusal}")
        figures = self.figures(watcher.window, idle_bytes)
        return replace(sample, figures=figures, foreign_share=watcher.window.usage.foreign_share)

    def figures(self, window: Window, idle_bytes: int) -> dict[str, float]:
        return {
            "memory_per_stream_kib": (window.memory_bytes - idle_bytes) / self.streams / 1024,
            "memory_idle_kib": idle_bytes / 1024,
            "cpu_per_frame_us": window.usage.cpu_us / max(1, window.frames),
        }

    def order(self) -> Order:
        """Streams that outlast the ramp and the window."""
        ramp_seconds = max(0.5, self.streams / STREAMS_PER_SECOND)
        seconds = ramp_seconds + SETTLE_NS / 1e9 + self.seconds + 1.5
        frames = math.ceil(seconds * 1e6 / self.interval_us) + 2  # the first gap may be short
        return Order(
            streams=self.streams,
            requests=self.streams,
            frames=frames,
            interval_us=self.interval_us,
            ramp_ms=int(ramp_seconds * 1000),
            seconds_max=int(ramp_seconds + 2 * frames * self.interval_us / 1e6 + 20),
        )


class _Watcher:
    """Follows the progress of the load: a settling time after all are open the window opens, later it closes."""

    def __init__(self, stage: Stage, running: Running, hold: Hold) -> None:
        self._stage, self._running, self._hold = stage, running, hold
        self._all_open_ns = 0
        self._meter: Meter | None = None
        self._first = Progress(0, 0, 0)
        self.open_max = 0
        self.window: Window | None = None

    def follow(self, told: Iterator[Outcome | Progress]) -> Outcome:
        for one in told:
            if isinstance(one, Outcome):
                return one
            self._note(one)
        raise AssertionError("load ends with an outcome")

    def _note(self, progress: Progress) -> None:
        self.open_max = max(self.open_max, progress.open)
        if progress.open == self._hold.streams and not self._all_open_ns:
            self._all_open_ns = progress.at_ns
        settled_ns = self._all_open_ns + SETTLE_NS
        if self._all_open_ns and self._meter is None and progress.at_ns >= settled_ns:
            self._first = progress
            self._meter = Meter(self._running, self._stage.cores.peer, time.monotonic)
        elif self._meter and not self.window and progress.at_ns - self._first.at_ns >= self._hold.seconds * 1e9:
            usage = self._meter.read()
            memory = memory_bytes(self._running.pids())
            if progress.open == self._hold.streams:
                self.window = Window(usage, progress.frames - self._first.frames, memory)
