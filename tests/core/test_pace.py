"""What a self-test's query may ask for, and what its frames say."""

import json

import pytest

from relay.core.errors import RelayError
from relay.core.pace import Pace
from relay.core.sse import data_of

DEFAULT = Pace(20, 100)


@pytest.mark.parametrize(
    ("query", "pace"),
    [
        ({}, DEFAULT),
        ({"frames": "1", "interval_ms": "10"}, Pace(1, 10)),
        ({"frames": "200", "interval_ms": "5000", "silence_seconds": "120"}, Pace(200, 5_000, 120)),
        ({"silence_seconds": "0", "other": "x"}, DEFAULT),
    ],
)
def test_the_query_says_the_pace_within_its_bounds(query: dict[str, str], pace: Pace) -> None:
    assert DEFAULT.asked(query) == pace


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("frames", text) for text in ("0", "201", "-1", "+5", "1_0", "1.0", "", " 5", "x", "٣", "9" * 5_000)),
        *(("interval_ms", text) for text in ("9", "5001")),
        ("silence_seconds", "121"),
    ],
)
def test_anything_else_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(RelayError) as refusal:
        DEFAULT.asked({name: text})
    assert (refusal.value.code, refusal.value.param) == ("invalid_request", name)


def test_frames_are_due_at_a_fixed_pace() -> None:
    assert [Pace(3, 250).due_seconds(number) for number in (1, 2, 3)] == [0.0, 0.25, 0.5]


def test_a_frame_is_one_json_object_and_the_first_tells_what_arrived() -> None:
    first, second = (Pace(2, 10).frame(number, 1_795_209_159.1234, 0.01234, {"protocol": "x"}) for number in (1, 2))
    times = {"of": 2, "sent_at_ms": 1_795_209_159_123, "elapsed_ms": 12.3}
    assert json.loads(data_of(first)) == {"n": 1, **times, "arrived": {"protocol": "x"}}
    assert json.loads(data_of(second)) == {"n": 2, **times}
    assert second.startswith(b"data: {") and second.endswith(b"}\n\n") and second.count(b"\n") == 2
