"""Heaps are told from hiccups, whatever the two clocks say."""

import pytest

from relay.core.diagnosis.arrivals import Arrival, Delivery, judge

SKEW_MS = -7_200_000.0


def judged(came_ms: list[float]) -> Delivery:
    """Frames sent every 100 ms, as they came."""
    delivery = judge([Arrival(n, n * 100.0, SKEW_MS + came) for n, came in enumerate(came_ms)])
    assert delivery is not None
    return delivery


def held(count: int, heap: int) -> list[float]:
    """Each heap comes when its last frame is sent."""
    return [100.0 * min(count - 1, n - n % heap + heap - 1) for n in range(count)]


def test_frames_that_come_as_they_were_sent_are_not_held_back() -> None:
    assert judged([100.0 * n + 30 for n in range(20)]) == Delivery(20, 1900.0, 1900.0, 0.0, 20, False)


def test_one_heap_at_the_end_is() -> None:
    assert judged([1900.0] * 20) == Delivery(20, 1900.0, 0.0, 1900.0, 1, True)


@pytest.mark.parametrize("heap", [3, 5, 10])
def test_smaller_heaps_are_too(heap: int) -> None:
    delivery = judged(held(20, heap))
    assert (delivery.is_held_back, delivery.heaps) == (True, -(-20 // heap))


def test_pairs_are_no_more_than_a_slow_clock() -> None:
    assert not judged(held(20, 2)).is_held_back


@pytest.mark.parametrize("stalled", [3, 9])
def test_a_hiccup_is_not(stalled: int) -> None:
    came = [100.0 * max(n, 10) if 10 - stalled <= n <= 10 else 100.0 * n for n in range(20)]
    assert judged(came).late_ms >= 300
    assert not judged(came).is_held_back


def test_a_uniform_delay_and_jitter_are_not() -> None:
    assert not judged([100.0 * n + 5_000 + 40 * (n % 2) for n in range(20)]).is_held_back


def test_a_link_that_falls_behind_and_catches_up_is_not() -> None:
    came = [160.0 * n if n < 10 else 1_440.0 + 50 * (n - 9) for n in range(20)]
    assert judged(came).late_ms > 500
    assert not judged(came).is_held_back


def test_too_few_frames_say_nothing() -> None:
    assert judge([Arrival(1, 0, 0), Arrival(2, 100, 0)]) is None
    assert judge([]) is None
