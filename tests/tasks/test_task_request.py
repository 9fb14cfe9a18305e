"""A task's request on its way to an upstream."""

from types import SimpleNamespace

from relay.core.caller import Caller
from relay.core.keys import KeyPolicy
from relay.core.placed_task import PlacedTask
from relay.core.targets import Target
from relay.tasks.task_request import TaskRequest

HEADERS = {"traceparent": "00-1", "openai-beta": "b", "x-other": "no"}
PLACED = PlacedTask("id", Caller("key_1", KeyPolicy(0, 0)), "m", b'{"a":1}', "en", HEADERS, "req_12345678", None, 0.0)


def test_it_carries_its_own_headers_and_of_the_callers_those_that_this_upstream_takes() -> None:
    request = TaskRequest(PLACED, SimpleNamespace(request_id="req_12345678"), lambda: None)
    assert request.headers_for(Target("t", "http://t", "", forward_headers=("openai-beta",))) == {
        "traceparent": "00-1",
        "openai-beta": "b",
        "Content-Type": "application/json",
        "Content-Length": "7",
        "Accept": "text/event-stream",
        "User-Agent": "relay",
        "X-Request-Id": "req_12345678",
    }


def test_its_body_is_bytes_until_it_goes_out_and_then_tells_that_it_was_sent() -> None:
    told: list[str] = []
    request = TaskRequest(PLACED, SimpleNamespace(request_id="r"), lambda: told.append("sent"))
    assert request.body == PLACED.body
    request.headers_for(Target("t", "http://t", ""))
    assert b"".join(iter(lambda: request.body.read(3), b"")) == PLACED.body
    assert told == ["sent"]
