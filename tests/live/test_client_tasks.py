"""relay-client.js and tasks: posted once, followed by their own events, resumed and cancelled like any stream."""

from collections.abc import Iterable

import pytest

from tests.live.bench.scripts import data_frame
from tests.live.bench.waiting import until
from tests.live.client_scene import Scene
from tests.live.scripted_relay import SOON, Telling, numbered, refusing, saying

pytest_plugins = ["tests.live.shared_client"]

TASK = "7b0c8e5e-6c3f-4a3e-9a51-0e7a5a1f4f10"
URLS = [f"/stream/{TASK}?ticket=t-2", f"/v1/tasks/{TASK}/events?ticket=t-2"]
ASK = {"prompt": "What is SSE?"}
TASK_ASKED = {"way": "task", "ask": ASK}
STAGES = ["queued", "initializing", "sending_request", "processing", "receiving"]


def started(url: str = URLS[0]) -> object:
    value = {"task_id": TASK, "stream_url": url, "status_url": f"/tasks/{TASK}?ticket=t-2"}
    return saying("202 Accepted", value)


def named(name: str, **data: object) -> bytes:
    return f"event: {name}\n".encode() + data_frame(data)


def events(*last: bytes) -> list[bytes]:
    told = [named("status", stage=stage, progress=10 * n, task_id=TASK) for n, stage in enumerate(STAGES)]
    told += [named("progress", chunk=chunk, progress=50, total_length=n) for n, chunk in ((3, "Hel"), (5, "lo"))]
    return numbers([*told, *last])


def numbers(frames: Iterable[bytes]) -> list[bytes]:
    return [numbered((SOON if seq == 1 else b"") + frame, seq) for seq, frame in enumerate(frames, 1)]


COMPLETE = named("complete", response="Hello", progress=100, model="m", usage={"total_tokens": 3})
ALL = events(COMPLETE)
TYPES = ["status"] * 5 + ["progress"] * 2 + ["complete"]


def telling(*asked: object, **how: object) -> Telling:
    return Telling(*asked, headers=(), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", URLS)
def test_a_task_is_followed_to_its_end(scene: Scene, url: str) -> None:
    seen = scene.relay(started(url), telling(ALL)).read(**TASK_ASKED)
    assert (seen["error"], seen["state"], seen["types"], "".join(seen["texts"])) == (None, "complete", TYPES, "Hello")
    (post,) = scene.asked("POST")
    assert (post.path, post.json(), post.header("authorization")) == ("/v1/tasks", ASK, "Bearer rk_test")
    assert post.header("idempotency-key")
    assert [get.path for get in scene.asked("GET")] == [url]


def test_its_events_come_by_callbacks(scene: Scene) -> None:
    called = scene.relay(started(), telling(ALL)).call("callBack", **TASK_ASKED)["called"]
    assert [name for name, _ in called] == TYPES
    assert [data["stage"] for name, data in called if name == "status"] == STAGES
    assert [data["chunk"] for name, data in called if name == "progress"] == ["Hel", "lo"]
    assert called[-1][1]["data"]["response"] == "Hello"


def test_one_that_breaks_behind_each_event_is_read_whole(scene: Scene) -> None:
    seen = scene.relay(started(), telling(ALL, 1)).read(**TASK_ASKED)
    assert (seen["state"], seen["types"], "".join(seen["texts"])) == ("complete", TYPES, "Hello")
    assert len(scene.asked("POST")) == 1
    assert len(scene.asked("GET")) == len(ALL)


FAILURES = {
    "failed": named("failed", error={"message": "The worker was lost.", "code": "worker_lost"}, stage="failed"),
    "error": named("error", error="The worker was lost.", stage="failed"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_one_that_fails_is_told(in_node: Scene, name: str) -> None:
    seen = in_node.relay(started(), telling(events(FAILURES[name]))).read(**TASK_ASKED)
    assert (seen["error"]["kind"], seen["error"]["message"]) == ("truncated", "The worker was lost.")
    assert seen["error"]["code"] == ("worker_lost" if name == "failed" else "")
    assert seen["types"] == TYPES[:-1]


def test_one_that_fails_before_its_answer_is_refused(in_node: Scene) -> None:
    failed = numbers([named("status", stage="queued", progress=0), FAILURES["failed"]])
    assert in_node.relay(started(), telling(failed)).read(**TASK_ASKED)["error"]["kind"] == "refused"


@pytest.mark.parametrize("url", URLS)
def test_a_cancel_finds_the_task(scene: Scene, url: str) -> None:
    scene.relay(started(url), telling(ALL, 2, ending="hold")).read(**TASK_ASKED, leave={"after": 2, "by": "cancel"})
    until(lambda: len(scene.cancels) == 1, 5, "a cancel")
    assert scene.cancels[0].path == f"/v1/tasks/{TASK}/cancel?ticket=t-2"


def test_a_full_queue_is_waited_for(scene: Scene) -> None:
    full = refusing("429 Too Many Requests", "queue_full", "retry-after-ms: 10")
    seen = scene.relay(full, started(), telling(ALL)).read(**TASK_ASKED)
    assert seen["state"] == "complete"


@pytest.mark.parametrize("url", URLS)
def test_one_that_was_left_is_found_again_as_a_task(scene: Scene, url: str) -> None:
    held = telling(ALL, 6, ending="hold")
    left = scene.relay(started(url), held, telling(ALL)).read(**TASK_ASKED, leave={"after": 6, "by": "close"})
    seen = scene.call("resume", left=left)
    assert (seen["state"], seen["types"], seen["texts"]) == ("complete", TYPES[6:], ["lo", ""])
