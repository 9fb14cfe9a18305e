"""The shared queue: what is given away is given away whole, and a Redis that is away is a refusal or a no."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from relay.core.errors import RelayError
from relay.stores.redis_link import StoreDown
from relay.tasks.shared_queue import SharedQueue

KEPT: Any = SimpleNamespace(subject=SimpleNamespace(id="rs_1"))
PLACED: Any = SimpleNamespace(id="0b7a0270-f94c-4eb8-aab4-527ace6f7802")


class Parts:
    """The queue in Redis and the handover of streams in one; `fails`: what each call raises."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.fails: BaseException | None = None
        self.is_written, self.workers, self.count, self.lost = True, True, 3, ["task"]
        self.mended: float | None = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers = {"write": self.is_written, "has_workers": self.workers, "waiting": self.count, "sweep": self.lost}

        def call(*arguments: Any) -> Any:
            self.notes.append(name)
            if self.fails is not None:
                raise self.fails
            return self.mended if name == "tend" else answers.get(name)

        return call


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def shared(parts: Parts, now: list[float]) -> SharedQueue:
    queue: Any = parts
    return SharedQueue(queue, queue, lambda: None, lambda: now[0])


def test_a_task_is_given_away_only_when_redis_has_all_of_its_stream(shared: SharedQueue, parts: Parts) -> None:
    assert shared.put(KEPT, PLACED, 10)
    assert parts.notes == ["write", "put", "release"]
    parts.notes.clear()
    parts.is_written = False
    assert not shared.put(KEPT, PLACED, 10)
    assert parts.notes == ["write"]


def test_so_many_may_wait(shared: SharedQueue) -> None:
    shared.require_room(4)
    with pytest.raises(RelayError, match="3 tasks are waiting"):
        shared.require_room(3)


@pytest.mark.parametrize(
    "ask",
    [
        lambda shared: shared.waiting(),
        lambda shared: shared.require_room(10),
        lambda shared: shared.remove(KEPT),
        lambda shared: shared.take_over(PLACED, "rs_1"),
    ],
    ids=["waiting", "require_room", "remove", "take_over"],
)
def test_without_redis_a_request_is_refused(
    shared: SharedQueue, parts: Parts, ask: Callable[[SharedQueue], object]
) -> None:
    parts.fails = StoreDown(asked=True)
    with pytest.raises(RelayError) as refused:
        ask(shared)
    assert refused.value.code == "store_unavailable"


def test_without_redis_there_are_no_workers_and_nothing_is_swept(
    shared: SharedQueue, parts: Parts, now: list[float]
) -> None:
    now[0] += 60
    parts.fails = StoreDown(asked=False)
    assert not shared.has_workers()
    shared.sweep(pytest.fail)
    with shared.owned("rs_1", PLACED):
        parts.notes.append("runs")
    assert parts.notes[-3:] == ["own", "runs", "done"]


def test_what_is_lost_is_told_but_not_when_redis_was_away_so_lately(
    shared: SharedQueue, parts: Parts, now: list[float]
) -> None:
    lost: list[object] = []
    shared.sweep(lost.append)
    assert lost == [], "this process has just come"
    now[0] += 6
    shared.sweep(lost.append)
    assert lost == ["task"]
    parts.mended = 30.0
    shared.tend()
    parts.mended = None
    now[0] += 5.9
    shared.sweep(lost.append)
    assert lost == ["task"]
    now[0] += 0.2
    shared.tend()
    shared.sweep(lost.append)
    assert lost == ["task", "task"]
    assert parts.notes.count("prove") == 4


def test_one_that_runs_here_is_owned_as_long_as_it_runs(shared: SharedQueue, parts: Parts) -> None:
    with pytest.raises(ValueError, match="x"), shared.owned("rs_1", PLACED):
        assert parts.notes == ["own"]
        raise ValueError("x")
    assert parts.notes == ["own", "done"]
