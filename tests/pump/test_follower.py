"""A follower: replays from its place, follows as the log grows, and leaves nothing behind however it ends."""

from collections.abc import Callable

import gevent
import pytest

from relay.core.frame_log import FrameLog
from tests.pump.keeping import PING, Keep, Keeping, end, frames, grow, kept_with, numbered
from tests.pump.partners import LAST_CHUNK, WAYS_TO_LEAVE, Caller, turns_during, until
from tests.pump.stage import Stage

LINE = "x" * 1000


@pytest.mark.parametrize("after", [0, 1, 4, 5])
def test_it_replays_from_any_place_and_follows_to_the_end(keep: Keep, after: int) -> None:
    keeping = keep(5)
    caller = keeping.follower(after)
    caller.until(numbered(5)) if after < 5 else None
    grow(keeping.kept, 2)
    caller.until(numbered(7))
    end(keeping.kept)
    caller.until(LAST_CHUNK)
    assert (caller.body, caller.is_whole) == (frames(after + 1, 7), True)
    [follower] = keeping.ended
    assert (follower.end, follower.cursor, follower.bytes_out) == ("done", 7, len(caller.body))
    assert follower.first_at > 0


def test_each_frame_goes_out_as_soon_as_it_is_kept(keep: Keep) -> None:
    keeping = keep(0)
    caller = keeping.follower()
    for seq in range(1, 50):
        grow(keeping.kept, 1)
        caller.until(numbered(seq))
    end(keeping.kept)


def test_an_ended_stream_is_replayed_at_once(keep: Keep) -> None:
    keeping = keep(3)
    end(keeping.kept)
    caller = keeping.follower(1)
    caller.until(LAST_CHUNK)
    assert caller.body == frames(2, 3)
    assert not keeping.kept.readers


def test_many_followers_read_the_same(keep: Keep) -> None:
    keeping = keep(40)
    callers = [(after, keeping.follower(after)) for after in range(0, 40, 4)]
    for _ in range(20):
        grow(keeping.kept, 3)
        gevent.sleep(0)
    end(keeping.kept)
    for after, caller in callers:
        caller.until(LAST_CHUNK)
        assert caller.body == frames(after + 1, 100)
    assert not keeping.kept.readers


def test_a_place_that_has_not_come_yet_is_waited_for(keep: Keep) -> None:
    keeping = keep(2)
    caller = keeping.follower(4)
    grow(keeping.kept, 4)
    end(keeping.kept)
    caller.until(LAST_CHUNK)
    assert caller.body == frames(5, 6)


def test_what_is_pending_goes_before_the_log(stage: Callable[..., Stage]) -> None:
    keeping = Keeping(stage(), kept_with(1), pending=b"b\r\n: pending\n\n\r\n")
    caller = keeping.follower()
    end(keeping.kept)
    caller.until(LAST_CHUNK)
    assert caller.body == b": pending\n\n" + numbered(1)


def test_a_silent_log_shows_that_it_lives_by_one_line(keep: Keep) -> None:
    keeping = keep(1, heartbeat_seconds=0.05)
    caller = keeping.follower()
    caller.until(PING)
    grow(keeping.kept, 1)
    end(keeping.kept)
    caller.until(LAST_CHUNK)
    assert caller.body.replace(PING, b"") == frames(1, 2)
    assert b"ping\n\n" not in caller.body


def test_without_a_heartbeat_a_silent_log_stays_silent(stage: Callable[..., Stage]) -> None:
    keeping = Keeping(stage(heartbeat_seconds=0.05), kept_with(1), ping=b"")
    caller = keeping.follower()
    caller.until(numbered(1))
    assert caller.gets_nothing(0.3)
    assert turns_during(0.2) < 50
    end(keeping.kept)
    caller.until(LAST_CHUNK)


def test_frames_put_the_heartbeat_off(keep: Keep) -> None:
    keeping = keep(1, heartbeat_seconds=0.3)
    caller = keeping.follower()
    for _ in range(10):
        gevent.sleep(0.05)
        grow(keeping.kept, 1)
    caller.until(numbered(11))
    assert PING not in caller.received
    end(keeping.kept)


@WAYS_TO_LEAVE
def test_a_follower_that_leaves_is_noticed_and_hurts_no_other(keep: Keep, leave: Callable[[Caller], None]) -> None:
    keeping = keep(2)
    caller, other = keeping.follower(), keeping.follower()
    leave(caller)
    until(lambda: keeping.ended, 1)
    assert (keeping.ended[0].end, len(keeping.kept.readers)) == ("client_gone", 1)
    until(lambda: keeping.stage.served[0].dead, 0.5)
    grow(keeping.kept, 1)
    end(keeping.kept)
    other.until(LAST_CHUNK)
    assert other.body == frames(1, 3)


def test_a_killed_greenlet_leaves_nothing(keep: Keep) -> None:
    keeping = keep(2)
    caller = keeping.follower()
    until(lambda: keeping.kept.readers)
    keeping.stage.served[0].kill()
    assert not keeping.kept.readers
    assert not keeping.stage.pump.followers
    caller.to_the_end()
    assert not caller.is_whole
    grow(keeping.kept, 1)


def test_where_what_it_needs_is_gone_it_says_so(keep: Keep) -> None:
    keeping = keep(5)
    keeping.kept.log.clear()
    caller = keeping.follower(2)
    caller.to_the_end()
    [follower] = keeping.ended
    assert (follower.end, follower.failure, caller.is_whole) == ("truncated", None, False)
    assert not keeping.kept.readers


def test_a_defect_ends_it_and_is_told(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    keeping = keep(1)
    caller, other = keeping.follower(), keeping.follower()
    caller.until(numbered(1))
    other.until(numbered(1))
    read, failures = FrameLog.read, [RuntimeError("read")]

    def fail_once(log: FrameLog, after: int, bytes_max: int) -> tuple[bytes, int]:
        if failures:
            raise failures.pop()
        return read(log, after, bytes_max)

    monkeypatch.setattr(FrameLog, "read", fail_once)
    grow(keeping.kept, 1)
    until(lambda: keeping.ended)
    assert (keeping.ended[0].end, str(keeping.ended[0].failure)) == ("truncated", "read")
    end(keeping.kept)
    until(lambda: len(keeping.ended) == 2)
    for one in (caller, other):
        one.gets_nothing(0.1)
    assert sorted([caller.body, other.body]) == [frames(1, 1), frames(1, 2)]


def test_a_drain_lets_it_hear_its_streams_end_and_then_drops_it(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.pump.pump.ERROR_SECONDS_MAX", 0.2)
    keeping = keep(1)
    caller = keeping.follower()
    caller.until(numbered(1))
    keeping.stage.pump.drain()
    gevent.sleep(0.05)
    assert not keeping.ended
    until(lambda: keeping.ended, 1)
    assert keeping.ended[0].end == "drained"


def test_what_ended_it_first_is_its_end(keep: Keep) -> None:
    keeping = keep(1)
    caller = keeping.follower()
    caller.until(numbered(1))
    [follower] = keeping.stage.pump.followers
    follower.drop("drained")
    follower.drop("client_slow")
    until(lambda: keeping.ended)
    assert keeping.ended[0].end == "drained"
