"""What was accepted survives the way to another process."""

import msgspec

from relay.core.caller import Caller
from relay.core.keys import KeyPolicy
from relay.core.placed_task import PlacedTask, messages_in

TASK_ID = "0b7a0270-f94c-4eb8-aab4-527ace6f7802"
PLACED = PlacedTask(
    id=TASK_ID,
    caller=Caller("key_1", KeyPolicy(5, 2, models=("m",)), subject="user-42"),
    model="m",
    body=b'{"a":"\xc3\xbc"}',
    language="de",
    headers={"traceparent": "00-1"},
    request_id="req_1",
    origin=None,
    placed_at=1.5,
)


def test_it_is_the_same_after_the_way_through_a_queue() -> None:
    assert msgspec.json.decode(msgspec.json.encode(PLACED), type=PlacedTask) == PLACED


def test_errors_speak_german_where_that_is_read() -> None:
    assert messages_in("de")["cancelled"] == "Abgebrochen"
    assert messages_in("de")["upstream_timeout"] == "Der KI-Dienst antwortet nicht"
    assert messages_in("en") == {}
