"""Where tasks stand, as long as it is kept."""

import pytest

from relay.stores.task_board import MemoryBoard, Standing


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def board(now: list[float]) -> MemoryBoard:
    return MemoryBoard(10.0, lambda: now[0])


def test_the_last_that_was_told_is_what_is_known(board: MemoryBoard, now: list[float]) -> None:
    board.tell("t", "queued", 0, {})
    now[0] += 1
    board.tell("t", "receiving", 50, {})
    assert board.look("t") == Standing("receiving", 50, 101.0)


def test_of_other_tasks_nothing_is_known(board: MemoryBoard) -> None:
    board.tell("t", "queued", 0, {})
    assert board.look("other") is None


def test_what_was_told_long_ago_is_forgotten_and_what_goes_on_is_not(board: MemoryBoard, now: list[float]) -> None:
    board.tell("old", "complete", 100, {})
    board.tell("going", "receiving", 50, {})
    now[0] += 6
    board.tell("going", "receiving", 60, {})
    now[0] += 6
    board.tell("new", "queued", 0, {})
    assert board.look("old") is None
    assert board.look("going") == Standing("receiving", 60, 106.0)
