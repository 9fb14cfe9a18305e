"""What runs in a worker: each stream once, under the name by which it can be ended."""

from types import SimpleNamespace
from typing import Any

import pytest

from relay.core.task_ids import claim_of
from relay.streams.live import LiveStreams
from tests.streams.scene import KEY, Scene, until

TASK_ID = "0b7a0270-f94c-4eb8-aab4-527ace6f7802"


class Plain:
    """A stream on its way to its caller."""

    def __init__(self) -> None:
        self.cuts: list[tuple[str, str]] = []

    def cut(self, end: str, code: str) -> None:
        self.cuts.append((end, code))


def exchange(request_id: str) -> Any:
    record = SimpleNamespace(request_id=request_id, key_id=KEY, route="/v1/messages", model="m", begun_at=0.0)
    return SimpleNamespace(meter=SimpleNamespace(record=record), flow=SimpleNamespace(frames=3))


@pytest.fixture
def plain() -> Plain:
    return Plain()


@pytest.fixture
def live(scene: Scene, plain: Plain) -> LiveStreams:
    pump: Any = scene.pump
    pump.live = {plain: exchange("req_1")}
    return LiveStreams(scene.streams, pump)


def test_each_is_told_once_under_its_own_name(scene: Scene, live: LiveStreams, plain: Plain) -> None:
    kept, stream, _ = scene.live()
    live._pump.live[stream] = exchange("req_of_the_kept_one")
    told = {one["id"]: one for one in live.running()}
    assert set(told) == {kept.subject.id, "req_1"}
    assert told[kept.subject.id]["status"] == "live"
    assert told["req_1"].items() >= {
        "key_id": KEY, "route": "/v1/messages", "model": "m", "status": "live", "frames": 3
    }.items()  # fmt: skip
    assert all(set(one) == set(told["req_1"]) for one in told.values())


def test_a_kept_one_is_ended_by_its_id(scene: Scene, live: LiveStreams) -> None:
    kept, stream, _ = scene.live()
    assert live.cancel(kept.subject.id) == 1
    assert stream.cuts == [("cancelled", "cancelled")]
    until(lambda: kept.outcome)
    assert live.cancel(kept.subject.id) == 0


def test_a_task_is_ended_by_its_own_id(scene: Scene, live: LiveStreams) -> None:
    _, stream, _ = scene.live(claim=claim_of(TASK_ID))
    assert live.cancel(TASK_ID) == 1
    assert stream.cuts == [("cancelled", "cancelled")]
    assert live.cancel("1b7a0270-f94c-4eb8-aab4-527ace6f7802") == 0


def test_a_plain_one_is_ended_by_its_requests_id(live: LiveStreams, plain: Plain) -> None:
    assert live.cancel("req_1") == 1
    assert plain.cuts == [("cancelled", "cancelled")]
    assert live.cancel("req_2") == 0
