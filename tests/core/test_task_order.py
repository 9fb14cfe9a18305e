"""What a task's caller may ask for, and what is asked of the upstream for it."""

import json

import pytest

from relay.core.errors import RelayError
from relay.core.task_order import read_order, upstream_body

TASK_ID = "0b7a0270-f94c-4eb8-aab4-527ace6f7802"


def body(**members: object) -> bytes:
    return json.dumps(members).encode()


def asked(sent: bytes, model: str = "m") -> dict[str, object]:
    return dict(json.loads(upstream_body(read_order(sent), model)))


def test_a_prompt_becomes_a_users_message_and_defaults_fill_what_is_absent() -> None:
    assert asked(body(prompt="Grüße")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Grüße"}],
        "temperature": 0.7,
        "max_tokens": 2000,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_zero_and_null_are_not_absent() -> None:
    sent = asked(body(prompt="a", temperature=0, max_tokens=None))
    assert (sent["temperature"], sent["max_tokens"]) == (0, None)


def test_messages_go_on_as_they_are() -> None:
    messages = [{"role": "system", "content": [{"type": "text", "text": "a"}], "name": "b"}, {"role": "user"}]
    assert asked(body(messages=messages))["messages"] == messages


def test_a_tasks_id_is_kept_in_small_letters() -> None:
    assert read_order(body(prompt="a", task_id=TASK_ID.upper())).task_id == TASK_ID
    assert read_order(body(prompt="a")).task_id == ""


def test_unknown_members_are_named() -> None:
    with pytest.raises(RelayError, match="no 'stream', 'temprature': it takes prompt") as refused:
        read_order(body(prompt="a", temprature=1, stream=True))
    assert refused.value.code == "invalid_request"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not valid"),
        (b'{"prompt":"a"', "not a JSON object"),
        (b'{"prompt":"\xff"}', "not a JSON object"),
        (body(), "'prompt' or 'messages'"),
        (body(prompt=""), "'prompt' or 'messages'"),
        (body(messages=[]), "'prompt' or 'messages'"),
        (body(prompt="a", messages=[{}]), "one of them"),
        (body(prompt=["a"]), r"Expected `str`.*prompt"),
        (body(messages=["a"]), r"messages"),
        (body(prompt="a", temperature="hot"), "temperature"),
        (body(prompt="a", max_tokens=1.5), "max_tokens"),
        (body(prompt="a", retry="yes"), "retry"),
        (body(prompt="a", task_id="task-1"), "'task_id' is not a UUID"),
    ],
)
def test_what_is_no_task_is_refused(sent: bytes, said: str) -> None:
    with pytest.raises(RelayError, match=said) as refused:
        read_order(sent)
    assert refused.value.code == "invalid_request"
