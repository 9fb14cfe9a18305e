"""A goal is met at its limit and missed beyond it; what was not measured is not met."""

import pytest

from bench.figures import Figures, Spread
from bench.goals import GOALS, Goal, judge
from bench.samples import Sample


def verdicts(*samples: Sample) -> dict[str, str]:
    return {f"{one.goal.title} {one.goal.unit}": one.verdict for one in judge(Figures(samples))}


def sample(peer: str, scenario: str, **figures: float) -> Sample:
    return Sample(1, scenario, peer, figures)


@pytest.mark.parametrize(
    ("relay_us", "verdict"),
    [(12.5, "aim met"), (12.6, "must met"), (18.0, "must met"), (18.1, "MISSED")],
)
def test_cpu_per_frame_of_a_burst_is_held_against_nginx(relay_us: float, verdict: str) -> None:
    told = verdicts(sample("nginx", "S1", cpu_per_frame_us=10.0), sample("relay", "S1", cpu_per_frame_us=relay_us))
    assert told["CPU per frame, burst (S1) × nginx"] == verdict


@pytest.mark.parametrize(("relay_us", "verdict"), [(100, "aim met"), (150, "must met"), (151, "MISSED")])
def test_latency_is_held_against_nginx_plus_50_microseconds(relay_us: float, verdict: str) -> None:
    told = verdicts(sample("nginx", "S2", latency_p50_us=100.0), sample("relay", "S2", latency_p50_us=relay_us))
    assert told["frame latency p50 (S2) µs above nginx's"] == verdict


@pytest.mark.parametrize(("frames", "verdict"), [(4000, "aim met"), (3999, "MISSED")])
def test_capacity_is_at_least_four_times_the_naive_relays(frames: float, verdict: str) -> None:
    told = verdicts(
        sample("naive", "cap", capacity_frames_per_second=1000),
        sample("relay", "cap", capacity_frames_per_second=frames),
    )
    assert told["paced capacity (cap) × naive"] == verdict


def test_a_load_side_that_limits_does_not_count_against_the_relay() -> None:
    told = verdicts(
        sample("nginx", "cap", capacity_frames_per_second=1000),
        sample("direct", "cap", capacity_frames_per_second=800),
        sample("relay", "cap", capacity_frames_per_second=700),
    )
    assert told["paced capacity (cap) × nginx, or × the load side's"] == "aim met"


@pytest.mark.parametrize(("many_kib", "verdict"), [(12.0, "aim met"), (12.1, "MISSED")])
def test_memory_stays_flat_from_500_to_5000_streams(many_kib: float, verdict: str) -> None:
    told = verdicts(
        sample("relay", "G500", memory_per_stream_kib=10.0), sample("relay", "G5000", memory_per_stream_kib=many_kib)
    )
    assert told["memory per stream, 5,000 held × at 500"] == verdict


def test_redis_is_held_against_the_relay_without() -> None:
    told = verdicts(
        sample("relay", "S3s", cpu_per_request_us=100.0), sample("relay-redis", "S3s", cpu_per_request_us=151.0)
    )
    assert told["CPU per request with Redis (S3s) × without"] == "MISSED"


def test_what_was_not_measured_is_said() -> None:
    assert set(verdicts().values()) == {"not measured"}
    assert len(verdicts()) == len(GOALS)


def test_an_aim_alone_is_never_missed() -> None:
    goal = Goal("t", "u", None, 1.0, lambda figures: None)
    assert goal.verdict(Spread(2.0, 2.0, 2.0, 1)) == "aim not met"
