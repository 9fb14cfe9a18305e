"""Both sizes have the same scenarios; what counts as in time; held streams outlast what is measured of them."""

from dataclasses import replace

import pytest

from bench.holding import SETTLE_NS, Hold
from bench.load_side import Outcome, Times
from bench.scenarios import FULL, LATE_NS_MAX, QUICK, Capacity, Flow, in_time

EARLY, LATE = Times(9, 0, LATE_NS_MAX, 0, 0), Times(9, 0, LATE_NS_MAX + 1, 0, 0)
GOOD = Outcome(10, 10, 0, 40, 2.0, 0, EARLY, EARLY, EARLY, EARLY, 0)


def test_both_sizes_measure_the_same() -> None:
    assert list(FULL) == list(QUICK)


def test_the_full_paced_loads_are_5000_and_25000_frames_a_second() -> None:
    orders = [scenario.order for name in ("S2", "S2b") if isinstance(scenario := FULL[name], Flow)]
    assert [order.streams * 1_000_000 // order.interval_us for order in orders] == [5000, 25_000]


def test_growth_is_measured_at_one_rate_of_frames() -> None:
    holds = [scenario for name in ("G500", "G5000") if isinstance(scenario := FULL[name], Hold)]
    assert [hold.streams for hold in holds] == [500, 5000]
    assert len({hold.streams / hold.interval_us for hold in holds}) == 1


@pytest.mark.parametrize(
    "changed",
    [{"good": 9}, {"frame": LATE}, {"drift": LATE}],
    ids=["an answer is wrong", "frames are late", "the pace is not kept"],
)
def test_a_load_is_not_in_time_when(changed: dict[str, object]) -> None:
    assert in_time(GOOD)
    assert not in_time(replace(GOOD, **changed))


@pytest.mark.parametrize("sizes", [FULL, QUICK], ids=["full", "quick"])
@pytest.mark.parametrize("name", ["S4", "G500", "G5000"])
def test_held_streams_outlast_the_ramp_and_the_window(sizes: dict[str, Hold], name: str) -> None:
    hold = sizes[name]
    order = hold.order()
    life_seconds = (order.frames - 2) * order.interval_us / 1e6  # the first gap may be short
    assert life_seconds > order.ramp_ms / 1000 + SETTLE_NS / 1e9 + hold.seconds
    assert order.seconds_max > life_seconds + order.ramp_ms / 1000


def test_streams_of_the_capacity_ladder_overlap_for_as_long_as_asked() -> None:
    order = Capacity("cap", 50, 2400, seconds=3.0).order(2400)
    assert order.frames * order.interval_us / 1e6 - order.ramp_ms / 1000 == pytest.approx(3.0, abs=0.1)
