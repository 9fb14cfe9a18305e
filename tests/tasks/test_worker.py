"""A worker: it takes what it has room for, gives back what has no slot, and runs nothing that is not its own."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event

from relay.core.errors import RelayError
from relay.stores.redis_link import StoreDown
from relay.tasks.tasks import Accepted
from relay.tasks.worker import NotOurs, Worker


class Job:
    def __init__(self, kept: Any, may_start: bool) -> None:
        self.production, self._may_start = SimpleNamespace(kept=kept), may_start
        self.may_end, self.notes = Event(), list[str]()
        self.accepted: Accepted | None = None

    def try_start(self) -> bool:
        return self._may_start

    def run(self) -> None:
        self.notes.append("run")
        self.may_end.wait()

    def give_back(self) -> None:
        self.notes.append("gave back")


class Scene:
    """`waiting`: the keys whose tasks wait; `blocked`: those without a slot; `gone`: streams that have ended."""

    def __init__(self) -> None:
        self.waiting, self.blocked, self.gone = list[str](), set[str](), set[str]()
        self.jobs: dict[str, Job] = {}
        self.notes: list[str] = []
        self.is_ours = True
        self.fails: BaseException | None = None
        self.relay = SimpleNamespace(
            tasks=self, queue=self, streams=SimpleNamespace(producing=self.jobs), accountant=self
        )
        self.worker = Worker(self.relay, 2, lambda where, error: self.notes.append(f"{error!r}"))

    @property
    def queue(self) -> Any:
        return self

    def join(self) -> None:
        self.notes.append("join")

    def announce(self) -> None:
        if self.fails is not None:
            raise self.fails

    def take(self, passed_over: Any) -> Any:
        for key_id in self.waiting:
            if key_id not in passed_over:
                self.waiting.remove(key_id)
                placed = SimpleNamespace(id=key_id, caller=SimpleNamespace(key_id=key_id))
                return SimpleNamespace(stream_id=key_id, placed=placed)
        return None

    def take_over(self, placed: Any, stream_id: str) -> Any:
        return None if stream_id in self.gone else SimpleNamespace(name=stream_id)

    def record_of(self, placed: Any) -> Any:
        return None

    def resume(self, relay: Any, accepted: Accepted) -> Any:
        job = self.jobs[accepted.kept.name] = Job(accepted.kept, accepted.kept.name not in self.blocked)
        job.accepted = accepted
        return SimpleNamespace(job=job)

    def done(self, stream_id: str) -> None:
        self.notes.append(f"done {stream_id}")

    def begin(self, stream_id: str) -> bool:
        if self.fails is not None:
            raise self.fails
        return self.is_ours

    def release(self, kept: Any) -> None:
        self.notes.append(f"release {kept.name}")

    def give_back(self, stream_id: str) -> None:
        self.notes.append(f"give back {stream_id}")
        self.waiting.append(stream_id)


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    running = gevent.spawn(scene.worker.run)
    yield scene
    scene.worker.is_stopping = True
    running.join(5)
    assert running.ready()


def wait_until(true: Callable[[], bool]) -> None:
    with gevent.Timeout(5):
        while not true():
            gevent.sleep(0.002)


def test_it_takes_as_many_as_it_has_room_for(scene: Scene) -> None:
    scene.waiting += ["a", "b", "c"]
    wait_until(lambda: scene.worker.running == 2)
    gevent.sleep(0.1)
    assert (set(scene.jobs), scene.waiting) == ({"a", "b"}, ["c"])
    scene.jobs["a"].may_end.set()
    wait_until(lambda: "c" in scene.jobs)
    assert scene.jobs["a"].notes == ["run", "gave back"]
    assert "done a" in scene.notes and "join" in scene.notes


def test_one_without_a_slot_waits_again_and_another_keys_runs(scene: Scene) -> None:
    scene.blocked = {"a"}
    scene.waiting += ["a", "b"]
    wait_until(lambda: scene.worker.running == 1)
    assert scene.notes[1:3] == ["release a", "give back a"]
    assert "a" not in scene.jobs and scene.jobs["b"].notes == ["run"]
    scene.blocked = set()
    wait_until(lambda: scene.worker.running == 2)


def test_one_that_has_ended_meanwhile_is_done(scene: Scene) -> None:
    scene.gone = {"a"}
    scene.waiting.append("a")
    wait_until(lambda: "done a" in scene.notes)
    assert scene.worker.running == 0


def test_before_its_upstream_is_called_it_is_marked_as_begun(scene: Scene) -> None:
    scene.waiting.append("a")
    wait_until(lambda: scene.worker.running == 1)
    accepted = scene.jobs["a"].accepted
    assert accepted is not None
    accepted.mark()
    scene.is_ours = False
    with pytest.raises(NotOurs):
        accepted.mark()
    assert scene.notes[-1] == "release a"
    scene.fails = StoreDown(asked=True)
    with pytest.raises(RelayError, match="does not answer"):
        accepted.mark()


def test_without_redis_it_goes_on_asking(scene: Scene) -> None:
    scene.fails = StoreDown(asked=False)
    gevent.sleep(0.12)
    scene.fails = None
    scene.waiting.append("a")
    wait_until(lambda: scene.worker.running == 1)


def test_a_stopped_one_takes_nothing_more(scene: Scene) -> None:
    gevent.sleep(0.01)
    scene.worker.is_stopping = True
    gevent.sleep(0.1)
    scene.waiting.append("a")
    gevent.sleep(0.1)
    assert scene.waiting == ["a"]
