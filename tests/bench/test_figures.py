"""Medians, added times and ratios come from the same round, and from nothing else."""

from bench.figures import ROWS, Figures, Spread, spread
from bench.samples import Sample
from bench.scenarios import FULL


def sample(
    round_number: int, peer: str, value: float, scenario: str = "S2", figure: str = "cpu_per_frame_us"
) -> Sample:
    return Sample(round_number, scenario, peer, {figure: value})


def test_a_spread_has_the_median_and_both_ends() -> None:
    assert spread([9.0, 1.0, 2.0]) == Spread(2.0, 1.0, 9.0, 3)


def test_nothing_measured_is_no_spread() -> None:
    assert spread([]) is None


def test_a_ratio_is_taken_within_each_round() -> None:
    """The machine was twice as slow in the second round; the peers' ratio was the same."""
    samples = [sample(1, "nginx", 10), sample(1, "relay", 15), sample(2, "nginx", 20), sample(2, "relay", 30)]
    assert Figures(samples).ratio("S2", "cpu_per_frame_us", "relay") == Spread(1.5, 1.5, 1.5, 2)


def test_a_round_that_lacks_one_peer_has_no_ratio() -> None:
    figures = Figures([sample(1, "nginx", 10), sample(2, "relay", 30)])
    assert figures.ratio("S2", "cpu_per_frame_us", "relay") is None


def test_nothing_is_divided_by_zero() -> None:
    figures = Figures([sample(1, "nginx", 0), sample(1, "relay", 30)])
    assert figures.ratio("S2", "cpu_per_frame_us", "relay") is None


def test_added_time_is_what_exceeds_the_floor_of_the_same_round() -> None:
    name = "latency_p50_us"
    samples = [
        sample(1, "direct", 50, figure=name),
        sample(1, "relay", 80, figure=name),
        sample(2, "direct", 100, figure=name),
        sample(2, "relay", 140, figure=name),
    ]
    assert Figures(samples).values("S2", "added_latency_p50_us", "relay") == {1: 30, 2: 40}


def test_the_floor_adds_nothing_to_itself() -> None:
    figures = Figures([sample(1, "direct", 50, figure="latency_p50_us")])
    assert figures.values("S2", "added_latency_p50_us", "direct") == {}


def test_scenarios_do_not_mix() -> None:
    figures = Figures([sample(1, "nginx", 10, scenario="S1"), sample(1, "relay", 30, scenario="S2")])
    assert figures.ratio("S2", "cpu_per_frame_us", "relay") is None


def test_every_row_is_of_a_scenario_that_runs() -> None:
    assert {row.scenario for row in ROWS} == set(FULL)
