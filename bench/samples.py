"""What one measurement of one peer gave, and how disturbed the machine was meanwhile."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.load_side import Outcome
from bench.peers import Running
from bench.processes import TICKS_PER_SECOND, core_times, cpu_ns


@dataclass(frozen=True)
class Sample:
    """`figures` by name, the unit last. `foreign_share` of the peers' core was taken by others or stolen."""

    round: int
    scenario: str
    peer: str
    figures: dict[str, float]
    faults: dict[str, int] = field(default_factory=dict)
    unfinished: int = 0
    foreign_share: float = 0.0
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Usage:
    """CPU time while something ran, in microseconds; the share of the core that others took."""

    cpu_us: float
    companions_us: float
    foreign_share: float


class Meter:
    """Reads a peer's CPU before and after; `read` may be called at any time after the start."""

    def __init__(self, peer: Running, core: int, clock: Callable[[], float]) -> None:
        self._peer, self._core, self._clock = peer, core, clock
        self._pids, self._companion_pids = peer.pids(), peer.companion_pids()
        self._begun = clock()
        self._core_before = core_times(core)
        self._before = cpu_ns(self._pids), cpu_ns(self._companion_pids)

    def read(self) -> Usage:
        own = (cpu_ns(self._pids) - self._before[0]) / 1000
        companions = (cpu_ns(self._companion_pids) - self._before[1]) / 1000
        core, seconds = core_times(self._core), self._clock() - self._begun
        busy = (core.busy - self._core_before.busy) / TICKS_PER_SECOND
        stolen = (core.stolen - self._core_before.stolen) / TICKS_PER_SECOND
        foreign = max(0.0, busy - own / 1e6) + stolen
        return Usage(own, companions, foreign / seconds if seconds else 0.0)


def flow_figures(outcome: Outcome, usage: Usage) -> dict[str, float]:
    """CPU per frame and per request, times of frames and answers, in microseconds."""
    figures = {
        "latency_p50_us": outcome.frame.p50 / 1000,
        "latency_p99_us": outcome.frame.p99 / 1000,
        "ttft_p50_us": outcome.first_frame.p50 / 1000,
        "ttft_p99_us": outcome.first_frame.p99 / 1000,
        "frames_per_second": outcome.frames / outcome.seconds,
        "requests_per_second": (outcome.requests - outcome.unfinished) / outcome.seconds,
    }
    if usage.cpu_us and outcome.frames:
        done = max(1, outcome.requests - outcome.unfinished)
        figures["cpu_per_frame_us"] = usage.cpu_us / outcome.frames
        figures["cpu_per_request_us"] = usage.cpu_us / done
        figures["utilisation"] = usage.cpu_us / 1e6 / outcome.seconds
        if usage.companions_us:
            figures["companion_cpu_per_request_us"] = usage.companions_us / done
    return figures
