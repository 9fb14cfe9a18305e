"""What the loop lends: native threads, deadlines, and background work that repeats."""

import threading
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from relay.loop import Loop, WriterThread


@pytest.fixture
def failures() -> list[tuple[str, BaseException]]:
    return []


@pytest.fixture
def loop(failures: list[tuple[str, BaseException]]) -> Iterator[Loop]:
    loop = Loop(lambda where, error: failures.append((where, error)))
    yield loop
    loop.stop()


def wait_until(true: Callable[[], bool], seconds_max: float = 2.0) -> None:
    with gevent.Timeout(seconds_max):
        while not true():
            gevent.sleep(0.002)


def test_work_runs_in_another_thread_and_its_result_comes_back(loop: Loop) -> None:
    assert loop.in_thread(lambda a, b: (a + b, threading.get_ident()), 1, 2)[0] == 3
    assert loop.in_thread(threading.get_ident) != threading.get_ident()


def test_what_the_work_raises_comes_back(loop: Loop) -> None:
    with pytest.raises(ZeroDivisionError):
        loop.in_thread(divmod, 1, 0)


def test_the_loop_goes_on_while_a_thread_works(loop: Loop) -> None:
    release = threading.Event()
    waiting = gevent.spawn(loop.in_thread, release.wait, 5)
    gevent.sleep(0.01)
    assert not waiting.ready()
    release.set()
    assert waiting.get(timeout=2) is True


def test_a_deadline_raises_the_error_that_it_was_given(loop: Loop) -> None:
    error = ValueError("late")
    with pytest.raises(ValueError, match="late") as caught, loop.deadline(0.01, error):
        gevent.sleep(5)
    assert caught.value is error


def test_a_deadline_that_was_kept_raises_nothing_later(loop: Loop) -> None:
    with loop.deadline(0.01, ValueError("late")):
        pass
    gevent.sleep(0.03)


def test_a_deadline_counts_from_its_beginning_and_not_from_its_making(loop: Loop) -> None:
    deadline = loop.deadline(0.05, ValueError("late"))
    gevent.sleep(0.08)
    with deadline:
        gevent.sleep(0.001)


def test_background_work_runs_at_once_and_then_every_turn(loop: Loop) -> None:
    times: list[float] = []
    begun = time.monotonic()
    loop.every(0.05, "work", lambda: times.append(time.monotonic() - begun))
    wait_until(lambda: len(times) == 3)
    assert times[0] < 0.04
    assert times[1] >= 0.05
    assert times[2] >= 0.10


def test_work_that_fails_is_reported_and_goes_on(loop: Loop, failures: list[tuple[str, BaseException]]) -> None:
    errors = [ValueError("one"), ValueError("two")]
    done: list[int] = []

    def work() -> None:
        if errors:
            raise errors.pop(0)
        done.append(1)

    loop.every(0.001, "probe", work)
    wait_until(lambda: bool(done))
    assert [(where, str(error)) for where, error in failures] == [("probe", "one"), ("probe", "two")]


def test_one_slow_work_does_not_hold_up_another(loop: Loop) -> None:
    done: list[int] = []
    loop.every(0.001, "slow", lambda: gevent.sleep(60))
    loop.every(0.001, "quick", lambda: done.append(1))
    wait_until(lambda: len(done) > 2)


def test_what_was_stopped_does_not_run_again(loop: Loop) -> None:
    done: list[int] = []
    loop.every(0.001, "work", lambda: done.append(1))
    wait_until(lambda: bool(done))
    loop.stop()
    so_far = len(done)
    gevent.sleep(0.02)
    assert len(done) == so_far
    loop.stop()


def test_a_writer_works_in_a_native_thread() -> None:
    writer, seen = WriterThread(), []
    writer.spawn(lambda: seen.append(threading.get_ident()))
    writer.join(2.0)
    assert len(seen) == 1
    assert seen[0] != threading.get_ident()


def test_nobody_waits_for_a_writer_longer_than_allowed() -> None:
    writer, release = WriterThread(), threading.Event()
    writer.spawn(lambda: release.wait(5))
    begun = time.monotonic()
    writer.join(0.05)
    assert 0.04 < time.monotonic() - begun < 1.0
    release.set()
    writer.join(2.0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_writer_outlives_work_that_fails() -> None:
    writer, done = WriterThread(), []
    writer.spawn(lambda: 1 / 0)
    writer.join(2.0)
    writer.spawn(lambda: done.append(1))
    writer.join(0.5)
    assert done == [1]


def test_a_writer_can_be_called_from_the_loop_itself_however_often() -> None:
    """A sweep that finds a hundred streams broken tells of each of them, in one callback."""
    writer, done = WriterThread(), []
    problems: list[BaseException] = []

    def in_a_callback() -> None:
        try:
            for number in range(5):
                finished = threading.Event()
                writer.spawn(lambda finished=finished: finished.set())
                assert finished.wait(2), f"work {number} did not run"
                done.append(number)
        except BaseException as error:
            problems.append(error)

    gevent.get_hub().loop.run_callback(in_a_callback)
    wait_until(lambda: len(done) == 5 or bool(problems))
    assert problems == []
    assert done == [0, 1, 2, 3, 4]
