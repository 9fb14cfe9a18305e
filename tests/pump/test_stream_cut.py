"""FLOW and every way in which it is cut: what was whole is delivered, the reason is told, and no last chunk follows."""

import time
from collections.abc import Callable

import gevent
import pytest

from tests.pump.outcomes import assert_cut, failing_flow, told
from tests.pump.partners import DONE, LAST_CHUNK, STREAM_HEAD, chunk, frame
from tests.pump.stage import FRAME_BYTES_MAX, KEY, Stage, Streaming


def test_flow_is_cut_at_the_upstreams_eof(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.say(frame("a"), b"data: unfinished")
    upstream.close()
    assert_cut(stage, caller, "truncated", "upstream_incomplete", before=frame("a"))


def test_flow_is_cut_at_the_upstreams_reset(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    upstream.reset()
    assert_cut(stage, caller, "reset", "upstream_disconnected", before=frame("a"))


def test_flow_is_cut_by_a_reset_right_behind_the_head(stage: Callable[..., Stage]) -> None:
    """The socket fails as soon as its buffer is asked for."""
    made = stage()
    caller = made.caller()
    caller.ask()
    upstream = made.upstream.next()
    upstream.head()
    upstream.reset()
    assert_cut(made, caller, "reset", "upstream_disconnected")


def test_flow_is_cut_when_the_body_ended_without_a_terminal_frame(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.say(frame("a"))
    upstream.send(LAST_CHUNK)
    assert_cut(stage, caller, "upstream_eof", "upstream_incomplete", before=frame("a"))


def test_flow_is_cut_after_an_idle_time(streaming: Streaming) -> None:
    stage, caller, upstream = streaming(idle_seconds_max=0.15)
    upstream.say(frame("a"))
    begun_at = time.monotonic()
    assert_cut(stage, caller, "stall", "upstream_idle_timeout", before=frame("a"))
    assert 0.14 < time.monotonic() - begun_at < 0.6
    assert upstream.sees_the_other_leave(1)


def test_bytes_from_the_upstream_reset_the_idle_time_and_heartbeats_do_not(streaming: Streaming) -> None:
    stage, caller, upstream = streaming(idle_seconds_max=0.25, heartbeat_seconds=0.05)
    begun_at = time.monotonic()
    for _ in range(4):
        gevent.sleep(0.1)
        upstream.say(b"data: part of a frame")
    assert not stage.meter.endings
    assert_cut(stage, caller, "stall", "upstream_idle_timeout")
    assert 0.6 < time.monotonic() - begun_at < 1.2


def test_flow_is_cut_at_the_total_deadline_however_lively(streaming: Streaming) -> None:
    stage, caller, upstream = streaming(total_seconds_max=0.2)
    begun_at = time.monotonic()
    while not stage.meter.endings:
        upstream.say(frame("a"))
        gevent.sleep(0.02)
    assert 0.15 < time.monotonic() - begun_at < 0.6
    caller.to_the_end()
    assert (told(caller.body), stage.end, caller.is_whole) == ("deadline_exceeded", "deadline", False)


def test_flow_is_cut_at_a_frame_that_is_too_large(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.say(frame("a"))
    upstream.say(b"data: " + b"x" * FRAME_BYTES_MAX)
    assert_cut(stage, caller, "oversize", "frame_too_large", before=frame("a"))


def test_flow_is_cut_at_a_chunk_that_is_none(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    upstream.send(b"no size\r\n")
    assert_cut(stage, caller, "truncated", "upstream_bad_response", before=frame("a"))


def test_what_the_same_read_brought_before_a_bad_chunk_is_delivered(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.send(chunk(frame("a")) + chunk(b"data: unfinished") + b"no size\r\n")
    assert_cut(stage, caller, "truncated", "upstream_bad_response", before=frame("a"))


def test_a_bad_chunk_behind_the_terminal_frame_does_not_spoil_the_answer(streaming: Streaming) -> None:
    """However the bytes were split: in a read of its own it would come too late to be seen."""
    stage, caller, upstream = streaming()
    upstream.send(chunk(frame("a")) + chunk(DONE) + b"no size\r\n")
    caller.until(b"\n\n\r\n0\r\n\r\n")
    assert (caller.body, caller.is_whole, stage.end) == (frame("a") + DONE, True, "done")
    assert upstream.sees_the_other_leave(2)


def test_flow_is_cut_from_another_greenlet(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    stage.pump.revoke({"key_of_somebody_else"})
    assert caller.gets_nothing(0.05)
    gevent.spawn(stage.pump.revoke, {KEY})
    assert_cut(stage, caller, "revoked", "key_revoked", before=frame("a"))
    assert upstream.sees_the_other_leave(1)


def test_only_the_first_ending_counts(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    [stream] = stage.pump.live
    stream.cut("drained", "relay_draining")
    stream.cut("revoked", "key_revoked")
    upstream.close()
    assert_cut(stage, caller, "drained", "relay_draining")
    assert stream.ending is stage.meter.endings[0]


@pytest.mark.parametrize("with_head", [False, True], ids=["in a later read", "with the head"])
def test_a_callback_that_raises_ends_the_stream(stage: Callable[..., Stage], with_head: bool) -> None:
    made = stage()
    made.flow_for = failing_flow
    caller = made.caller()
    caller.ask()
    upstream = made.upstream.next()
    upstream.send(STREAM_HEAD + (chunk(b"fail") if with_head else b""))
    if not with_head:
        caller.until(b"\r\n\r\n")
        upstream.say(b"fail")
    assert_cut(made, caller, "truncated", "internal_error")
    assert [str(failure) for failure in made.meter.failures] == ["feed"]


def test_a_failure_over_what_came_before_a_bad_chunk_ends_the_stream(stage: Callable[..., Stage]) -> None:
    made = stage()
    made.flow_for = failing_flow
    caller = made.caller()
    upstream = made.begin(caller)
    upstream.send(chunk(b"fail") + b"no size\r\n")
    caller.to_the_end()
    assert (caller.is_whole, made.closed, made.end) == (False, 1, "truncated")


def test_a_timed_callback_that_raises_ends_the_stream(stage: Callable[..., Stage]) -> None:
    made = stage(heartbeat_seconds=0.05)
    made.flow_for = failing_flow
    caller = made.caller()
    caller.ask()
    made.upstream.next().head()
    caller.until(b"\r\n\r\n")
    [stream] = made.pump.live
    stream._flow.ping_fails = True  # type: ignore[attr-defined]
    assert_cut(made, caller, "truncated", "internal_error")
    assert [str(failure) for failure in made.meter.failures] == ["ping"]
