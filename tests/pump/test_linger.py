"""The moment behind the terminal frame: the caller does not wait for it, and the connection's fate is decided in it."""

import time

import gevent
import pytest

from relay.pump import linger
from tests.pump.partners import DONE, LAST_CHUNK, Answering, Caller, chunk, frame, until
from tests.pump.stage import Stage, Streaming


@pytest.fixture
def lingering(streaming: Streaming, monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, Caller, Answering]:
    """A stream whose caller has its whole answer, while the upstream's body has not ended."""
    monkeypatch.setattr(linger, "LINGER_SECONDS", 0.3)
    stage, caller, upstream = streaming()
    upstream.say(frame("a"), DONE)
    caller.until(LAST_CHUNK)
    assert (caller.body, stage.closed, len(stage.sweep)) == (frame("a") + DONE, 1, 1)
    return stage, caller, upstream


def is_reused(stage: Stage, upstream: Answering) -> bool:
    """Whether the next request comes on this connection."""
    upstream.received = b""
    caller = stage.caller()
    caller.ask()
    until(lambda: len(stage.upstream.accepted) > 1 or is_asked(upstream), 1)
    return len(stage.upstream.accepted) == 1


def is_asked(upstream: Answering) -> bool:
    return not upstream.gets_nothing(0.001) and b"HTTP/1.1" in upstream.received


def test_the_caller_does_not_wait_for_the_last_chunk(lingering: tuple[Stage, Caller, Answering]) -> None:
    """Its next request on the same slot would come on another connection meanwhile."""
    stage, caller, upstream = lingering
    assert not is_reused(stage, upstream)


def test_a_late_last_chunk_brings_the_connection_back_into_its_pool(
    lingering: tuple[Stage, Caller, Answering],
) -> None:
    stage, caller, upstream = lingering
    gevent.sleep(0.1)
    upstream.send(LAST_CHUNK)
    until(lambda: not len(stage.sweep), 0.1)
    assert is_reused(stage, upstream)


def test_a_last_chunk_in_pieces_does_as_well(lingering: tuple[Stage, Caller, Answering]) -> None:
    stage, caller, upstream = lingering
    for piece in (b"0", b"\r\n", b"\r", b"\n"):
        assert len(stage.sweep)
        upstream.send(piece)
        gevent.sleep(0.01)
    until(lambda: not len(stage.sweep), 0.1)
    assert is_reused(stage, upstream)


def test_a_connection_that_says_no_more_is_closed_after_a_while(lingering: tuple[Stage, Caller, Answering]) -> None:
    stage, caller, upstream = lingering
    begun_at = time.monotonic()
    assert upstream.sees_the_other_leave(1)
    assert 0.2 < time.monotonic() - begun_at < 0.6
    assert not is_reused(stage, upstream)


@pytest.mark.parametrize(
    "rest",
    [chunk(frame("late")), chunk(frame("late")) + LAST_CHUNK, b"no chunk\r\n", LAST_CHUNK + b"HTTP/1.1 200 OK\r\n"],
    ids=["a frame", "a frame and the end", "a bad chunk", "something behind the end"],
)
def test_a_connection_that_says_anything_else_is_closed_at_once(
    lingering: tuple[Stage, Caller, Answering], rest: bytes
) -> None:
    stage, caller, upstream = lingering
    upstream.send(rest)
    assert upstream.sees_the_other_leave(0.15)
    assert len(stage.sweep) == 0
    assert not is_reused(stage, upstream)


@pytest.mark.parametrize("leave", [Answering.close, Answering.reset], ids=lambda way: way.__name__)
def test_an_upstream_that_closes_is_let_go(lingering: tuple[Stage, Caller, Answering], leave) -> None:  # type: ignore[no-untyped-def]
    stage, caller, upstream = lingering
    leave(upstream)
    until(lambda: not len(stage.sweep), 0.15)
    [taken] = stage.upstreams_taken
    assert taken.connection.sock is None


def test_the_wait_is_about_a_second() -> None:
    assert linger.LINGER_SECONDS == 1.0
