"""What is measured: bursts, paced streams, short requests, held streams, and the most that one core can pace."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bench.capacity import highest_passing, ladder
from bench.holding import Hold
from bench.load_side import Order, Outcome
from bench.samples import Sample, flow_figures
from bench.stage import Stage

PACE_US = 20_000  # 50 frames a second
LATE_NS_MAX = 20_000_000  # at the 90th percentile: as long as one interval


class Scenario(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def has_floor(self) -> bool: ...
    def measure(self, stage: Stage, peer: str, round_number: int) -> Sample: ...


@dataclass(frozen=True)
class Flow:
    """One order, timed; with `seconds` an unpaced one is repeated so often that it takes about as long."""

    name: str
    order: Order
    seconds: float = 0.0
    requests_max: int = 20_000

    @property
    def has_floor(self) -> bool:
        return True

    def measure(self, stage: Stage, peer: str, round_number: int) -> Sample:
        order = self._sized(stage, peer) if self.seconds else self.order
        outcome, usage = stage.run(peer, order)
        figures, note = flow_figures(outcome, usage), _remark(outcome)
        return Sample(
            round_number, self.name, peer, figures, outcome.faults, outcome.unfinished, usage.foreign_share, note
        )

    def _sized(self, stage: Stage, peer: str) -> Order:
        """The order with as many requests as the first look at this peer says; the same in every round."""
        if (self.name, peer) not in stage.learnt:
            outcome, _ = stage.run(peer, self.order)
            wanted = int(self.order.requests * self.seconds / outcome.seconds)
            stage.learnt[self.name, peer] = max(self.order.requests, min(self.requests_max, wanted))
        return replace(self.order, requests=stage.learnt[self.name, peer])


@dataclass(frozen=True)
class Capacity:
    """The most frames a second that are all relayed in time, in steps of a fifth."""

    name: str
    streams_min: int
    streams_max: int
    seconds: float
    factor: float = 1.2

    @property
    def has_floor(self) -> bool:
        return True

    def measure(self, stage: Stage, peer: str, round_number: int) -> Sample:
        """The search begins where the round before ended."""
        steps = ladder(self.streams_min, self.streams_max, self.factor)
        attempts: dict[int, tuple[Outcome, float]] = {}

        def passes(index: int) -> bool:
            outcome, usage = stage.run(peer, self.order(steps[index]))
            attempts[index] = outcome, usage.cpu_us / 1e6 / outcome.seconds
            return in_time(outcome)

        start = stage.learnt.get((self.name, peer), len(steps) // 2)
        best = highest_passing(passes, steps, start)
        stage.learnt[self.name, peer] = best or 0
        figures = {"capacity_frames_per_second": 0.0 if best is None else steps[best] * 1e6 / PACE_US}
        if best is not None and stage.peer(peer).program:
            figures["utilisation"] = attempts[best][1]
        faults = _sum_faults([outcome.faults for outcome, _ in attempts.values()])
        note = "at the end of the ladder" if best == len(steps) - 1 else ""
        return Sample(round_number, self.name, peer, figures, faults, note=note)

    def order(self, streams: int) -> Order:
        """All streams together for `seconds`, after a ramp that costs less than the flow."""
        ramp_seconds = max(0.5, streams / 400)
        frames = int((ramp_seconds + self.seconds) * 1e6 / PACE_US)
        limit = int(2 * ramp_seconds + self.seconds + 5)
        return Order(streams, streams, frames, PACE_US, int(ramp_seconds * 1000), limit)


def in_time(outcome: Outcome) -> bool:
    """Every answer right, and frames neither late nor slower than their pace."""
    is_late = outcome.frame.p90 > LATE_NS_MAX or outcome.drift.p90 > LATE_NS_MAX
    return outcome.good == outcome.requests and not is_late


def _remark(outcome: Outcome) -> str:
    if outcome.refusal:
        return f"refused with {outcome.refusal}"
    if outcome.unfinished or outcome.drift.p90 > LATE_NS_MAX:
        return "overloaded: it fell behind the pace"
    return ""


def _sum_faults(found: list[dict[str, int]]) -> dict[str, int]:
    """Of attempts beyond the capacity: there a refusal is the right answer, and a wrong stream is still wrong."""
    names = sorted({name for faults in found for name in faults} - {"refused", "connect"})
    return {name: sum(faults.get(name, 0) for faults in found) for name in names}


def _table(*scenarios: Scenario) -> dict[str, Scenario]:
    return {scenario.name: scenario for scenario in scenarios}


FULL = _table(
    Flow("S1", Order(streams=64, requests=64, frames=500), seconds=2.5, requests_max=1024),
    Flow("S2", Order(100, 100, frames=250, interval_us=PACE_US, ramp_ms=1000, seconds_max=15)),
    Flow("S2b", Order(500, 500, frames=400, interval_us=PACE_US, ramp_ms=2000, seconds_max=20)),
    Flow("S3j", Order(streams=32, requests=200, frames=1, is_stream=False), seconds=2.5),
    Flow("S3s", Order(streams=32, requests=200, frames=3), seconds=2.5),
    Hold("S4", streams=2000, interval_us=2_000_000, seconds=4.0),
    Hold("G500", streams=500, interval_us=100_000, seconds=4.0),
    Hold("G5000", streams=5000, interval_us=1_000_000, seconds=4.0),
    Capacity("cap", streams_min=50, streams_max=2400, seconds=3.0),
)

# The same shapes in seconds: to see that everything works, not to quote.
QUICK = _table(
    Flow("S1", Order(streams=16, requests=16, frames=100), seconds=0.2, requests_max=256),
    Flow("S2", Order(20, 20, frames=40, interval_us=PACE_US, ramp_ms=200, seconds_max=5)),
    Flow("S2b", Order(50, 50, frames=40, interval_us=PACE_US, ramp_ms=200, seconds_max=5)),
    Flow("S3j", Order(streams=8, requests=20, frames=1, is_stream=False), seconds=0.2),
    Flow("S3s", Order(streams=8, requests=20, frames=3), seconds=0.2),
    Hold("S4", streams=100, interval_us=500_000, seconds=0.6),
    Hold("G500", streams=50, interval_us=100_000, seconds=0.6),
    Hold("G5000", streams=200, interval_us=400_000, seconds=0.6),
    Capacity("cap", streams_min=20, streams_max=80, seconds=0.5, factor=2.0),
)

SIZES: Mapping[str, Mapping[str, Scenario]] = {"full": FULL, "quick": QUICK}
