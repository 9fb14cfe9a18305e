"""The ladder and the search on it: right wherever the limit is, wherever the search begins, with few attempts."""

import pytest

from bench.capacity import highest_passing, ladder


def test_a_ladder_rises_by_the_factor_up_to_its_highest() -> None:
    assert ladder(50, 100, 1.2) == [50, 60, 72, 86]


@pytest.mark.parametrize("limit", range(-1, 12))
@pytest.mark.parametrize("start", range(12))
def test_the_search_finds_the_limit_from_anywhere(limit: int, start: int) -> None:
    asked: list[int] = []

    def passes(index: int) -> bool:
        asked.append(index)
        return index <= limit

    assert highest_passing(passes, range(12), start) == (limit if limit >= 0 else None)
    assert len(asked) == len(set(asked)), "no step is tried twice: it takes seconds"
    assert len(asked) <= 8


def test_a_search_that_begins_at_the_limit_takes_two_attempts() -> None:
    asked: list[int] = []

    def passes(index: int) -> bool:
        asked.append(index)
        return index <= 7

    highest_passing(passes, range(22), 7)
    assert asked == [7, 8]
