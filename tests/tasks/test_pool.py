"""The embedded pool: its bounds, its turns, and what becomes of those that wait when the process ends."""

from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event

from relay.core.errors import RelayError
from relay.tasks import pool as pool_module
from relay.tasks.pool import Pool


class Scene:
    """A pool, what was noted of its jobs, and which keys have a free slot."""

    def __init__(self, parallel: int = 2, queue_max: int = 10) -> None:
        self.notes: list[str] = []
        self.reported: list[BaseException] = []
        self.blocked: set[str] = set()
        self.is_closing = False
        self.pool = Pool(parallel, queue_max, lambda: self.is_closing, lambda where, error: self.reported.append(error))

    def submit(self, name: str, key_id: str = "a", fails: bool = False) -> "Job":
        job = Job(self, name, key_id, fails)
        self.pool.submit(job)
        return job


class Job:
    """One that runs until it is let go."""

    def __init__(self, scene: Scene, name: str, key_id: str, fails: bool) -> None:
        self._scene, self._name, self.key_id, self._fails = scene, name, key_id, fails
        self.lane = key_id
        self.may_end, self.holds, self.ended = Event(), False, ""

    def try_start(self) -> bool:
        self.holds = self.key_id not in self._scene.blocked
        return self.holds

    def run(self) -> None:
        self._scene.notes.append(self._name)
        if not self.ended:
            self.may_end.wait()
        if self._fails:
            raise ValueError(self._name)

    def give_back(self) -> None:
        self.holds = False

    def cancel(self, end: str) -> None:
        self.ended = end
        self.may_end.set()
        self._scene.pool.hurry(self)


def wait_until(true: Callable[[], bool]) -> None:
    with gevent.Timeout(5):
        while not true():
            gevent.sleep(0.002)


def test_so_many_run_at_a_time_and_the_next_when_one_has_ended() -> None:
    scene = Scene(parallel=2)
    jobs = [scene.submit(str(number)) for number in range(4)]
    wait_until(lambda: scene.notes == ["0", "1"])
    assert (scene.pool.running, scene.pool.waiting) == (2, 2)
    jobs[1].may_end.set()
    wait_until(lambda: scene.notes == ["0", "1", "2"])
    assert not jobs[1].holds
    for job in jobs:
        job.may_end.set()
    wait_until(lambda: (scene.pool.running, scene.pool.waiting) == (0, 0))


def test_each_key_has_its_turn() -> None:
    scene = Scene(parallel=1)
    jobs = [scene.submit(name, name[0]) for name in ("a1", "a2", "a3", "b1")]
    for job in jobs:
        job.may_end.set()
    wait_until(lambda: len(scene.notes) == 4)
    assert scene.notes == ["a1", "b1", "a2", "a3"]


def test_a_key_without_a_free_slot_is_passed_over_until_it_has_one() -> None:
    scene = Scene()
    scene.blocked = {"a"}
    blocked, other = scene.submit("a1"), scene.submit("b1", "b")
    wait_until(lambda: scene.notes == ["b1"])
    gevent.sleep(pool_module.LOOK_SECONDS * 2)
    assert scene.notes == ["b1"]
    scene.blocked = set()
    wait_until(lambda: scene.notes == ["b1", "a1"])
    assert (blocked.holds, other.holds) == (True, True)


def test_so_many_may_wait() -> None:
    scene = Scene(parallel=1, queue_max=2)
    jobs = [scene.submit("0")]
    wait_until(lambda: scene.pool.running == 1)
    jobs += [scene.submit("1"), scene.submit("2")]
    with pytest.raises(RelayError) as refused:
        scene.pool.require_room()
    assert (refused.value.code, refused.value.retry_after_seconds) == ("queue_full", pool_module.QUEUE_RETRY_SECONDS)
    scene.pool.bound(1, 3)
    scene.pool.require_room()


def test_one_that_failed_is_told_and_its_place_is_free() -> None:
    scene = Scene(parallel=1)
    failing, next_ = scene.submit("0", fails=True), scene.submit("1")
    failing.may_end.set()
    wait_until(lambda: scene.notes == ["0", "1"])
    assert [str(error) for error in scene.reported] == ["0"]
    assert (failing.holds, next_.holds, scene.pool.running) == (False, True, 1)


def test_one_that_is_cancelled_while_it_waits_ends_at_once() -> None:
    scene = Scene(parallel=1)
    scene.submit("0")
    waiting = scene.submit("1")
    wait_until(lambda: scene.notes == ["0"])
    waiting.cancel("cancelled")
    assert scene.pool.waiting == 0
    wait_until(lambda: scene.notes == ["0", "1"])
    assert scene.pool.running == 1


def test_one_that_is_cancelled_while_its_slot_is_asked_for_gives_it_back() -> None:
    scene = Scene()
    job = Job(scene, "0", "a", fails=False)

    def try_start() -> bool:
        job.cancel("cancelled")
        wait_until(lambda: scene.notes == ["0"])
        gevent.sleep(0.01)
        job.holds = True
        return True

    job.try_start = try_start  # type: ignore[method-assign]
    scene.pool.submit(job)
    wait_until(lambda: scene.notes == ["0"] and not job.holds)
    gevent.sleep(0.02)
    assert (job.holds, scene.pool.running, scene.pool.waiting) == (False, 0, 0)


def test_when_the_process_ends_those_that_wait_are_told_and_those_that_run_go_on() -> None:
    scene = Scene(parallel=1)
    running, waiting = scene.submit("0"), scene.submit("1")
    wait_until(lambda: scene.notes == ["0"])
    scene.is_closing = True
    wait_until(lambda: waiting.ended == "drained")
    assert (running.ended, scene.pool.waiting, scene.pool.running) == ("", 0, 1)
