"""From samples to figures: medians over rounds, added times, ratios within one round."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from bench.samples import Sample

FLOOR = "direct"  # its times are what added times are added to
BASE = "nginx"
ADDED = "added_"


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds."""

    median: float
    lowest: float
    highest: float
    rounds: int


@dataclass(frozen=True)
class Row:
    """One line of the report: a figure of a scenario, in a unit."""

    scenario: str
    figure: str
    title: str
    unit: str
    more_is_better: bool = False


ROWS = (
    Row("S1", "cpu_per_frame_us", "CPU per frame, burst", "µs"),
    Row("S2b", "cpu_per_frame_us", "CPU per frame, paced 25k/s", "µs"),
    Row("S2", "cpu_per_frame_us", "CPU per frame, paced 5k/s", "µs"),
    Row("S2", "added_latency_p50_us", "added latency of a frame, p50", "µs"),
    Row("S2", "added_latency_p99_us", "added latency of a frame, p99", "µs"),
    Row("S2", "added_ttft_p50_us", "added time to the first frame, p50", "µs"),
    Row("S3j", "cpu_per_request_us", "CPU per request, small JSON", "µs"),
    Row("S3j", "companion_cpu_per_request_us", "beside it, of its Redis", "µs"),
    Row("S3s", "cpu_per_request_us", "CPU per request, 3 frames", "µs"),
    Row("S4", "memory_per_stream_kib", "memory per held stream", "KiB"),
    Row("G500", "memory_per_stream_kib", "memory per stream, 500 held", "KiB"),
    Row("G5000", "memory_per_stream_kib", "memory per stream, 5,000 held", "KiB"),
    Row("G500", "cpu_per_frame_us", "CPU per frame, 500 held", "µs"),
    Row("G5000", "cpu_per_frame_us", "CPU per frame, 5,000 held", "µs"),
    Row("cap", "capacity_frames_per_second", "paced capacity of one core", "frames/s", more_is_better=True),
)


def spread(values: Iterable[float]) -> Spread | None:
    """None: nothing was measured."""
    found = list(values)
    return Spread(median(found), min(found), max(found), len(found)) if found else None


class Figures:
    """All samples of a run, asked by scenario, figure and peer."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_place: dict[tuple[str, str], dict[int, Mapping[str, float]]] = {}
        for sample in samples:
            self._by_place.setdefault((sample.scenario, sample.peer), {})[sample.round] = sample.figures

    def values(self, scenario: str, figure: str, peer: str) -> dict[int, float]:
        """By round. A figure named `added_X` is X less the floor's X of the same round."""
        if figure.startswith(ADDED):
            return self._added(scenario, figure.removeprefix(ADDED), peer)
        rounds = self._by_place.get((scenario, peer), {})
        return {number: figures[figure] for number, figures in rounds.items() if figure in figures}

    def spread(self, scenario: str, figure: str, peer: str) -> Spread | None:
        return spread(self.values(scenario, figure, peer).values())

    def ratio(self, scenario: str, figure: str, peer: str, to: str = BASE) -> Spread | None:
        """Of the two peers' figures in the same round; rounds without both, or with a zero below, are left out."""
        own, base = self.values(scenario, figure, peer), self.values(scenario, figure, to)
        return spread(own[number] / base[number] for number in own if base.get(number, 0.0) > 0.0)

    def difference(self, scenario: str, figure: str, peer: str, to: str = BASE) -> Spread | None:
        own, base = self.values(scenario, figure, peer), self.values(scenario, figure, to)
        return spread(own[number] - base[number] for number in own if number in base)

    def _added(self, scenario: str, figure: str, peer: str) -> dict[int, float]:
        own, floor = self.values(scenario, figure, peer), self.values(scenario, figure, FLOOR)
        return {number: own[number] - floor[number] for number in own if number in floor and peer != FLOOR}
