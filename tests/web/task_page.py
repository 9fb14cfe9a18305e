"""What a page does with tasks: posts one, and reads its events."""

import json
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient

from tests.live.browser_events import browser_events

TASK_ID = "0b7a0270-f94c-4eb8-aab4-527ace6f7802"
PROMPT = {"prompt": "canary-prompt-Zk3", "model": "gpt-test"}
STAGES = ["queued", "initializing", "sending_request", "processing", "receiving"]


@dataclass(frozen=True)
class Told:
    """One event, its data read."""

    name: str
    data: dict[str, Any]
    id: str

    @property
    def number(self) -> int:
        return int(self.id.rpartition(":")[2])


def told(body: bytes) -> list[Told]:
    """The events of a whole body."""
    return [Told(event.type, json.loads(event.data), event.last_id) for event in browser_events(body)]


def posted(caller: FlaskClient, path: str = "/v1/tasks", **members: Any) -> dict[str, str]:
    """Post a task; what was answered."""
    answer = caller.post(path, json={**PROMPT, **members})
    assert answer.status_code == 202, answer.data
    return dict(json.loads(answer.data))


def followed(client: FlaskClient, url: str) -> list[Told]:
    answer = client.get(url)
    assert answer.status_code == 200, answer.data
    return told(answer.data)


def assert_in_order(events: list[Told]) -> None:
    """Numbers without a gap, progress that never falls, and one terminal event, the last."""
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    progress = [event.data["progress"] for event in events if "progress" in event.data]
    assert progress == sorted(progress)
    terminal = [event.name in ("complete", "failed", "error") for event in events]
    assert terminal == [False] * (len(events) - 1) + [True]


def code_of(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, json.loads(answer.data)["error"]["code"]
