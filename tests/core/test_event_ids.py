"""The names of streams and of their frames: nobody guesses one, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.event_ids import SEQ_DIGITS_MAX, is_stream_id, mint_stream_id, read_event_id

STREAM = "rs_" + "aZ9" * 7 + "x"


def test_a_new_name_is_one_and_never_the_same() -> None:
    names = {mint_stream_id() for _ in range(1000)}
    assert len(names) == 1000
    assert all(is_stream_id(name) for name in names)


@given(st.integers(0, 10**SEQ_DIGITS_MAX - 1))
def test_an_event_is_named_by_its_stream_and_its_number(seq: int) -> None:
    assert read_event_id(f"{STREAM}:{seq}") == (STREAM, seq)


@pytest.mark.parametrize(
    "name", ["", "rs_", STREAM[:-1], STREAM + "x", " " + STREAM, STREAM + "\n", "RS_" + STREAM[3:], STREAM[:-1] + "ä"]
)
def test_nothing_else_is_a_streams_name(name: str) -> None:
    assert not is_stream_id(name)


@pytest.mark.parametrize(
    "number", ["", "-1", "+1", "1_0", "1.0", " 1", "1 ", "1\n", "٣", "1:2", "x", "1" * (SEQ_DIGITS_MAX + 1)]
)
def test_nothing_else_is_an_events_number(number: str) -> None:
    assert read_event_id(f"{STREAM}:{number}") is None


@pytest.mark.parametrize("text", ["", ":1", "1", STREAM, "17", f"{STREAM[:-1]}:1", f"x{STREAM}:1", f"{STREAM}\n:1"])
def test_an_upstreams_own_id_is_none_of_ours(text: str) -> None:
    assert read_event_id(text) is None
