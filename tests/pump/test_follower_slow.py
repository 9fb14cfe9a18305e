"""A follower that takes little or nothing: it keeps its order, waits for nobody, and is dropped in time, alone."""

import time
from collections.abc import Callable

import gevent
import pytest

from tests.pump.keeping import PING, Keep, Keeping, end, frames, grow, kept_with, numbered
from tests.pump.partners import LAST_CHUNK, SMALL_BYTES, until
from tests.pump.stage import Stage

LINE = "x" * 1000


def test_a_slow_follower_gets_all_of_it_in_order(keep: Keep) -> None:
    keeping = keep(0, sndbuf_bytes=SMALL_BYTES)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    said = grow(keeping.kept, 300, LINE)
    [follower] = keeping.stage.pump.followers
    until(lambda: follower.sink.pending)
    assert follower.cursor < 300
    end(keeping.kept)
    caller.until(LAST_CHUNK)
    assert caller.body == said


def test_a_follower_that_takes_nothing_is_dropped_and_no_other(keep: Keep) -> None:
    keeping = keep(0, sndbuf_bytes=SMALL_BYTES, slow_reader_seconds_max=0.3)
    slow, other = keeping.follower(rcvbuf_bytes=SMALL_BYTES), keeping.follower()
    reading = gevent.spawn(other.until, numbered(300, LINE))
    began = time.monotonic()
    said = grow(keeping.kept, 300, LINE)
    while not keeping.ended:
        assert time.monotonic() - began < 3
        gevent.sleep(0.01)
    assert time.monotonic() - began > 0.25
    assert (keeping.ended[0].end, len(keeping.kept.readers)) == ("client_slow", 1)
    slow.to_the_end()
    assert not slow.is_whole
    reading.get(timeout=2)
    end(keeping.kept)
    other.until(LAST_CHUNK)
    assert other.body == said


def test_a_follower_that_takes_a_little_is_not_dropped(keep: Keep) -> None:
    keeping = keep(0, sndbuf_bytes=SMALL_BYTES, slow_reader_seconds_max=0.25)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    said = grow(keeping.kept, 300, LINE)
    until_at = time.monotonic() + 0.8
    while time.monotonic() < until_at:
        caller.received += caller.sock.recv(2048)
        gevent.sleep(0.02)
    assert not keeping.ended
    end(keeping.kept)
    caller.until(LAST_CHUNK)
    assert caller.body == said


def test_no_heartbeat_comes_between_the_halves_of_a_frame(keep: Keep) -> None:
    keeping = keep(0, sndbuf_bytes=SMALL_BYTES, heartbeat_seconds=0.02)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    said = grow(keeping.kept, 100, LINE)
    gevent.sleep(0.2)
    end(keeping.kept)
    caller.until(LAST_CHUNK)
    assert caller.body.replace(PING, b"") == said


def test_a_drain_ends_those_who_replay_what_is_over(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.pump.pump.ERROR_SECONDS_MAX", 0.2)
    keeping = keep(0, sndbuf_bytes=SMALL_BYTES)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    grow(keeping.kept, 300, LINE)
    end(keeping.kept)
    [follower] = keeping.stage.pump.followers
    assert not follower.will_be_told
    keeping.stage.pump.drain()
    until(lambda: keeping.ended, 1)
    assert keeping.ended[0].end == "drained"
    caller.sees_the_other_leave()


def test_a_follower_whose_socket_is_full_at_once_waits_for_it(stage: Callable[..., Stage]) -> None:
    """What is owed from before fills it."""
    made = stage()
    made.sndbuf_bytes = SMALL_BYTES
    keeping = Keeping(made, kept_with(2), pending=b"186a0\r\n" + b":" + b"x" * 99_997 + b"\n\n" + b"\r\n")
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    end(keeping.kept)
    caller.until(LAST_CHUNK)
    assert caller.body.endswith(b"xx\n\n" + frames(1, 2))
