"""What the relay is held to: each goal with what it must reach, what it aims at, and what was measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import ge, le

from bench.figures import FLOOR, Figures, Spread, spread

RELAY, WITH_REDIS, KEPT, NAIVE = "relay", "relay-redis", "relay-kept", "naive"
GROWTH_MAX = 1.2
FLOOR_REACHED = 0.8  # of what the load side can drive without a peer: it is then the load side that limits


@dataclass(frozen=True)
class Goal:
    """`measured` gives the figure, or None. It meets `must`, and `aim`, when it is at most that (`le`), or at least."""

    title: str
    unit: str
    must: float | None  # None: there is only an aim
    aim: float
    measured: Callable[[Figures], Spread | None]
    within: Callable[[float, float], bool] = le

    def verdict(self, value: Spread | None) -> str:
        if value is None:
            return "not measured"
        if self.within(value.median, self.aim):
            return "aim met"
        if self.must is None:
            return "aim not met"
        return "must met" if self.within(value.median, self.must) else "MISSED"


@dataclass(frozen=True)
class Judged:
    goal: Goal
    value: Spread | None
    verdict: str


def judge(figures: Figures) -> Iterator[Judged]:
    for goal in GOALS:
        value = goal.measured(figures)
        yield Judged(goal, value, goal.verdict(value))


def _ratio(scenario: str, figure: str, peer: str, to: str) -> Callable[[Figures], Spread | None]:
    return lambda figures: figures.ratio(scenario, figure, peer, to)


def _value(scenario: str, figure: str) -> Callable[[Figures], Spread | None]:
    return lambda figures: figures.spread(scenario, figure, RELAY)


def _with_redis(scenario: str) -> Callable[[Figures], Spread | None]:
    return _ratio(scenario, "cpu_per_request_us", WITH_REDIS, RELAY)


def _growth(figure: str) -> Callable[[Figures], Spread | None]:
    """From 500 to 5,000 streams, in the same round."""

    def measured(figures: Figures) -> Spread | None:
        few, many = (figures.values(scenario, figure, RELAY) for scenario in ("G500", "G5000"))
        return spread(many[number] / few[number] for number in many if few.get(number, 0.0) > 0.0)

    return measured


def _capacity(figures: Figures) -> Spread | None:
    """To nginx's; where the load side is the limit, to what that can drive, if it is the better of the two."""
    ratios = [figures.ratio("cap", "capacity_frames_per_second", RELAY, to) for to in ("nginx", FLOOR)]
    return max((ratio for ratio in ratios if ratio), key=lambda ratio: ratio.median, default=None)


GOALS = (
    Goal("CPU per frame, burst (S1)", "× nginx", 1.8, 1.25, _ratio("S1", "cpu_per_frame_us", RELAY, "nginx")),
    Goal("CPU per frame, paced 25k/s (S2b)", "× nginx", 1.4, 1.15, _ratio("S2b", "cpu_per_frame_us", RELAY, "nginx")),
    Goal("CPU per frame, paced 5k/s (S2)", "× nginx", 1.5, 1.2, _ratio("S2", "cpu_per_frame_us", RELAY, "nginx")),
    Goal(
        "frame latency p50 (S2)", "µs above nginx's", 50, 0,
        lambda figures: figures.difference("S2", "latency_p50_us", RELAY),
    ),
    Goal("CPU per request, JSON (S3j)", "× naive", 0.5, 0.25, _ratio("S3j", "cpu_per_request_us", RELAY, NAIVE)),
    Goal("CPU per request, 3 frames (S3s)", "× naive", 0.5, 0.25, _ratio("S3s", "cpu_per_request_us", RELAY, NAIVE)),
    Goal("paced capacity (cap)", "× naive", 4, 4, _ratio("cap", "capacity_frames_per_second", RELAY, NAIVE), ge),
    Goal("paced capacity (cap)", "× nginx, or × the load side's", None, FLOOR_REACHED, _capacity, ge),
    Goal("memory per held stream (S4)", "KiB", 32, 16, _value("S4", "memory_per_stream_kib")),
    Goal("memory per stream, 5,000 held", "× at 500", GROWTH_MAX, GROWTH_MAX, _growth("memory_per_stream_kib")),
    Goal("CPU per frame, 5,000 held", "× at 500", GROWTH_MAX, GROWTH_MAX, _growth("cpu_per_frame_us")),
    Goal("time to the first frame added, p50 (S2)", "µs", 1500, 600, _value("S2", "added_ttft_p50_us")),
    Goal("CPU per request with Redis (S3j)", "× without", 1.5, 1.5, _with_redis("S3j")),
    Goal("CPU per request with Redis (S3s)", "× without", 1.5, 1.5, _with_redis("S3s")),
    Goal("CPU per frame, streams kept (S1)", "× without", 1.5, 1.5, _ratio("S1", "cpu_per_frame_us", KEPT, RELAY)),
    Goal("CPU per frame, streams kept (S2)", "× without", 1.5, 1.5, _ratio("S2", "cpu_per_frame_us", KEPT, RELAY)),
)  # fmt: skip
