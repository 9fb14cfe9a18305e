"""A task's work: which stages are told when, and how each end is told once, after its slot is free."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from relay.core.caller import Caller
from relay.core.credentials import KeyRevoked
from relay.core.errors import RelayError
from relay.core.frame_log import FrameLog, Tally
from relay.core.kept import Kept, Subject
from relay.core.keys import KeyPolicy
from relay.core.placed_task import PlacedTask, messages_in
from relay.core.plain_flow import PlainFlow
from relay.core.progress import Progress
from relay.core.scrub import Scrubber
from relay.core.sse import data_of, frames_in
from relay.core.task_flow import TaskFlow, Telling
from relay.stores.streams import Keeping, MemoryStreams
from relay.tasks.task_work import Corridor, TaskWork

STREAM_ID = "rs_" + "a" * 22
PLACED = PlacedTask("id", Caller("key_1", KeyPolicy(0, 0)), "m", b"{}", "de", {}, "req_1", None, 0.0)
TELLING = Telling("m", 0.0, lambda: 0.0, lambda: "now", lambda usage: None, messages_in("de"))
UPSTREAM = SimpleNamespace(status=200, target=SimpleNamespace(api_key=""))


class Scene:
    """One task's work. `notes`: what it did besides telling, in order. `walk`: replaced by what a test wants."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.walk: Callable[[Any], Any] = self._answer
        self.revoked = False
        subject = Subject(STREAM_ID, "key_1", "/v1/tasks", "m", "f", 0.0)
        keeper = MemoryStreams(Keeping(60, 65_536, 65_536))
        self.kept = Kept(subject, 65_536, keeper, FrameLog(Tally()))
        self.record = SimpleNamespace(
            request_id="req_1", status=0, error=None, upstream_status=None, end="done", received_at=0.0
        )
        corridor = Corridor(
            walk=self._walk,
            require_key=self._require_key,
            give_back=lambda: self.notes.append(f"free after {(self.stages() or [None])[-1]}"),
            tell=lambda record: self.notes.append(f"told {record.end}"),
            telling=TELLING,
            code_points_max=100,
        )
        self.work = TaskWork(PLACED, self.kept, self.record, Progress(STREAM_ID, "id", "de"), corridor)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(data_of(frame)) for frame in frames_in(self.kept.log.read(0, 65_536)[0])]

    def stages(self) -> list[str]:
        return [event["stage"] for event in self.events()]

    def _walk(self, request: Any) -> Any:
        return self.walk(request)

    def _answer(self, request: Any) -> Any:
        self.notes.append(f"asked after {self.stages()[-1]}")
        request.headers_for(SimpleNamespace(forward_headers=()))
        while request.body.read(1):
            pass
        self.notes.append(f"sent after {self.stages()[-1]}")
        return SimpleNamespace(upstream=UPSTREAM, flow=PlainFlow(Scrubber(""), None))

    def _require_key(self, names: tuple[str, ...]) -> None:
        assert names == ("key_1",)
        if self.revoked:
            raise KeyRevoked


def test_each_stage_is_told_when_it_begins() -> None:
    scene = Scene()
    exchange = scene.work.open("presence", STREAM_ID)
    assert scene.stages() == ["initializing", "sending_request", "processing"]
    assert scene.notes == ["asked after sending_request", "sent after processing"]
    assert isinstance(exchange.flow, TaskFlow)
    scene.work.answered(UPSTREAM)
    assert scene.stages()[3:] == ["receiving"]
    assert scene.work.request.presence == "presence"


def test_an_upstream_that_answers_early_skips_no_stage_and_one_that_refuses_is_not_received() -> None:
    scene = Scene()
    scene.walk = lambda request: SimpleNamespace(upstream=UPSTREAM, flow=PlainFlow(Scrubber(""), None))
    scene.work.open("presence", STREAM_ID)
    scene.work.answered(SimpleNamespace(status=429))
    assert scene.stages() == ["initializing", "sending_request", "processing"]


@pytest.mark.parametrize(
    ("error", "code", "message", "end", "status"),
    [
        (RelayError("upstream_timeout", "late"), "upstream_timeout", "Der KI-Dienst antwortet nicht", "done", 504),
        (RelayError("draining", "soon"), "relay_draining", "Das Relay wird gerade neu gestartet", "drained", 503),
        (KeyRevoked(), "key_revoked", "Der API-Schlüssel wurde widerrufen", "revoked", 401),
    ],
)
def test_a_refusal_is_accounted_for_then_the_slot_is_free_then_it_is_told(
    error: RelayError, code: str, message: str, end: str, status: int
) -> None:
    scene = Scene()
    scene.work.open("presence", STREAM_ID)
    scene.notes.clear()
    scene.work.refused(error)
    assert scene.notes == [f"told {end}", "free after processing"]
    assert (scene.events()[-1]["error"]["code"], scene.events()[-1]["error"]["message"]) == (code, message)
    assert (scene.kept.status, scene.record.status) == ("failed", status)
    assert scene.stages().count("failed") == 1


@pytest.mark.parametrize(
    ("end", "code", "status", "kept"),
    [
        ("cancelled", "cancelled", 499, "cancelled"),
        ("deadline", "deadline_exceeded", 504, "failed"),
        ("drained", "relay_draining", 503, "failed"),
    ],
)
def test_one_that_is_ended_before_its_answer_says_why(end: str, code: str, status: int, kept: str) -> None:
    scene = Scene()
    scene.work.cancelled(end, code)
    assert [event["error"]["code"] for event in scene.events()] == [code]
    assert (scene.record.status, scene.record.error, scene.record.end) == (status, code, end)
    assert scene.kept.status == kept


def test_a_task_of_a_revoked_key_asks_no_upstream() -> None:
    scene = Scene()
    scene.revoked = True
    with pytest.raises(KeyRevoked):
        scene.work.open("presence", STREAM_ID)
    assert (scene.stages(), scene.notes) == (["initializing"], [])


def test_it_goes_on_without_readers_and_names_what_may_revoke_it() -> None:
    work = Scene().work
    work.hurry()
    assert (work.detach, work.names) == ("finish", ("key_1",))
