"""OPENING and OPEN_SILENT: what happens to a caller, and because of it, while its upstream has not answered."""

import time
from collections.abc import Callable

import gevent
import pytest

from relay.core.sse import PING
from relay.pump import sweep as sweep_module
from relay.pump.presence import Presence
from relay.pump.sweep import Sweep
from tests.pump.outcomes import assert_cut
from tests.pump.partners import DONE, LAST_CHUNK, STREAM_HEAD, WAYS_TO_LEAVE, Answering, Caller, chunk, frame, until
from tests.pump.stage import KEY, Stage

Make = Callable[..., Stage]
PINGED = chunk(PING)
SWEEP_SECONDS = sweep_module.SWEEP_SECONDS


def ask(stage: Stage) -> tuple[Caller, Answering]:
    """A caller whose request the upstream has, and does not answer yet."""
    caller = stage.caller()
    caller.ask()
    return caller, stage.upstream.next()


def open_early(stage: Stage) -> tuple[Caller, Answering]:
    """The same, until the response was opened because of the silence."""
    caller, upstream = ask(stage)
    caller.until(b"\r\n\r\n")
    return caller, upstream


def assert_given_up(stage: Stage, upstream: Answering, refusal: str) -> None:
    """The send was abandoned, and what had been acquired was released."""
    assert upstream.sees_the_other_leave(1)
    until(lambda: stage.closed)
    assert (stage.refusals, stage.meters, stage.pump.keys_in_use()) == ([refusal], [], set())


# OPENING


def test_the_upstreams_head_ends_the_wait(stage: Make) -> None:
    made = stage()
    caller, upstream = ask(made)
    assert len(made.pump._waiting) == 1
    upstream.head()
    caller.until(b"\r\n\r\n")
    assert (made.pump._waiting, len(made.pump.live), made.pump.keys_in_use()) == (set(), 1, {KEY})


@WAYS_TO_LEAVE
def test_a_caller_that_leaves_ends_the_wait(stage: Make, leave: Callable[[Caller], None]) -> None:
    made = stage()
    caller, upstream = ask(made)
    begun_at = time.monotonic()
    leave(caller)
    assert_given_up(made, upstream, "client_gone")
    assert time.monotonic() - begun_at < 0.3


@WAYS_TO_LEAVE
def test_a_caller_that_leaves_behind_a_waiting_request_ends_the_wait_within_a_second(
    stage: Make, sweep: Sweep, monkeypatch: pytest.MonkeyPatch, leave: Callable[[Caller], None]
) -> None:
    monkeypatch.setattr(sweep, "_timer", gevent.get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS))
    made = stage()
    caller, upstream = ask(made)
    caller.ask()
    gevent.sleep(0.05)
    begun_at = time.monotonic()
    leave(caller)
    assert upstream.sees_the_other_leave(1)
    assert time.monotonic() - begun_at < 1
    until(lambda: made.served[0].dead, 1)
    assert (made.refusals, made.closed) == (["client_gone"], 1), "the other request is not begun"


@pytest.mark.parametrize(("act", "refusal"), [("revoke", "invalid_api_key"), ("drain", "draining")])
def test_a_wait_can_be_interrupted_from_another_greenlet(stage: Make, act: str, refusal: str) -> None:
    made = stage()
    caller, upstream = ask(made)
    made.pump.revoke({"key_of_somebody_else"})
    assert caller.gets_nothing(0.03)
    gevent.spawn(interrupt, made, act)
    assert_given_up(made, upstream, refusal)
    assert caller.until(b"\r\n\r\n").startswith((b"HTTP/1.1 401", b"HTTP/1.1 503"))


def interrupt(stage: Stage, act: str) -> None:
    if act == "revoke":
        stage.pump.revoke({KEY})
    else:
        stage.pump.drain()


def test_a_second_interruption_does_nothing(stage: Make) -> None:
    made = stage()
    caller, upstream = ask(made)
    made.pump.drain()
    made.pump.revoke({KEY})
    assert_given_up(made, upstream, "draining")


def test_no_byte_goes_out_before_the_time(stage: Make) -> None:
    made = stage(early_open_seconds=0.2)
    caller, upstream = ask(made)
    assert caller.gets_nothing(0.15)
    upstream.head("Content-Length: 2", kind="application/json")
    upstream.send(b"{}")
    assert b"application/json" in caller.until(b"{}")


def test_a_response_is_never_opened_early_where_that_is_switched_off(stage: Make) -> None:
    made = stage(early_open_seconds=0, heartbeat_seconds=0.02)
    caller, upstream = ask(made)
    assert caller.gets_nothing(0.15)


def test_a_response_is_not_opened_early_for_a_caller_that_asked_for_no_stream(stage: Make) -> None:
    made = stage(early_open_seconds=0.03, heartbeat_seconds=0.02)
    made.streams = False
    caller, upstream = ask(made)
    assert caller.gets_nothing(0.15)


# OPEN_SILENT


def test_a_long_silence_opens_the_response_and_heartbeats_follow(stage: Make) -> None:
    made = stage(early_open_seconds=0.06, heartbeat_seconds=0.1)
    caller, upstream = ask(made)
    asked_at = time.monotonic()
    assert caller.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    opened_at = time.monotonic()
    assert caller.after_head == b"", "the head comes alone"
    caller.until(PINGED * 2)
    assert 0.05 < opened_at - asked_at < 0.6
    assert 0.15 < time.monotonic() - opened_at < 1


def test_an_open_silent_response_becomes_the_upstreams_stream(stage: Make) -> None:
    made = stage(early_open_seconds=0.03, heartbeat_seconds=0.05)
    caller, upstream = open_early(made)
    caller.until(PINGED)
    upstream.head()
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.received.count(b"HTTP/1.1") == 1
    assert (caller.body.replace(PING, b""), caller.is_whole, made.end) == (frame("a") + DONE, True, "done")


def test_what_was_owed_before_the_stream_goes_first(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage(early_open_seconds=0.03)
    caller, upstream = open_early(made)
    monkeypatch.setattr(Presence, "take_pending", lambda presence: PINGED)
    upstream.head()
    caller.until(PINGED)
    upstream.say(frame("a"))
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.body == PING + frame("a") + DONE


def test_what_is_owed_goes_before_a_body_that_came_with_its_head(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage(early_open_seconds=0.03)
    caller, upstream = open_early(made)
    monkeypatch.setattr(Presence, "take_pending", lambda presence: PINGED)
    upstream.send(STREAM_HEAD + chunk(frame("a")) + chunk(DONE) + LAST_CHUNK)
    caller.until(LAST_CHUNK)
    assert caller.body == PING + frame("a") + DONE


def test_a_caller_that_does_not_take_what_was_owed_before_is_slow(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage(early_open_seconds=0.03, slow_reader_seconds_max=0.2)
    caller, upstream = open_early(made)
    monkeypatch.setattr(Presence, "take_pending", lambda presence: PINGED * 1_000_000)
    upstream.head()
    until(lambda: made.closed, 2)
    assert made.end == "client_slow"


def test_heartbeats_go_on_when_the_stream_has_begun(stage: Make) -> None:
    made = stage(early_open_seconds=0.03, heartbeat_seconds=0.1)
    caller, upstream = open_early(made)
    upstream.head()
    caller.until(PINGED * 2)
    assert not made.meter.endings


@WAYS_TO_LEAVE
def test_a_caller_that_leaves_an_open_silent_response_ends_the_wait(
    stage: Make, leave: Callable[[Caller], None]
) -> None:
    made = stage(early_open_seconds=0.03, heartbeat_seconds=0.05)
    caller, upstream = open_early(made)
    leave(caller)
    assert_given_up(made, upstream, "client_gone")


def test_a_refusal_is_told_in_the_open_stream(stage: Make) -> None:
    made = stage(early_open_seconds=0.03, heartbeat_seconds=0.05)
    caller, upstream = open_early(made)
    caller.until(PINGED)
    upstream.send(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    caller.to_the_end()
    body = caller.body.replace(PING, b"")
    assert (made.refusals, caller.is_whole, body.count(b"\n\n")) == (["upstream_auth_failed"], False, 1)
    assert b'"code":"upstream_auth_failed"' in body
    assert b'"status":502' in body


def test_a_json_answer_becomes_one_frame_of_the_open_stream(stage: Make) -> None:
    made = stage(early_open_seconds=0.03, heartbeat_seconds=0.05)
    caller, upstream = open_early(made)
    upstream.head("Content-Length: 7", kind="application/json")
    upstream.send(b'{"a":1}')
    caller.until(LAST_CHUNK)
    assert caller.body.replace(PING, b"") == frame('{"a":1}') + DONE
    assert (caller.is_whole, made.end) == (True, "done")


def test_an_open_silent_response_is_cut_when_the_key_is_revoked(stage: Make) -> None:
    made = stage(early_open_seconds=0.03)
    caller, upstream = open_early(made)
    made.pump.revoke({KEY})
    caller.to_the_end()
    assert (made.refusals, caller.is_whole) == (["invalid_api_key"], False)
    assert b'"code":"invalid_api_key"' in caller.body


def test_a_stream_that_was_opened_early_is_cut_like_any_other(stage: Make) -> None:
    made = stage(early_open_seconds=0.03)
    caller, upstream = open_early(made)
    upstream.head()
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    upstream.close()
    assert_cut(made, caller, "truncated", "upstream_incomplete", before=frame("a"))
