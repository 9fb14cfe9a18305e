"""A stream on its way into a log: kept whoever reads, slowed by the slowest reader, and never by those who left."""

import time
from collections.abc import Callable

import gevent
import pytest

from relay.core.kept import Kept
from relay.pump.log_outlet import LogOutlet
from relay.pump.sweep import NEVER
from tests.pump.keeping import Keeping, Produce, last, new_kept, numbered
from tests.pump.outcomes import told
from tests.pump.partners import DONE, LAST_CHUNK, chunk, frame, until
from tests.pump.stage import KEY, Stage

LINE = "x" * 1000


def log_of(kept: Kept) -> bytes:
    return b"".join(data for data, _ in kept.log.pieces())


def test_without_a_reader_it_is_made_to_its_end(produce: Produce) -> None:
    keeping, upstream = produce()
    upstream.say(frame("1"), frame("2"))
    upstream.finish()
    until(lambda: keeping.kept.outcome)
    assert log_of(keeping.kept) == numbered(1) + numbered(2) + last(3)
    assert (keeping.stage.end, keeping.stage.closed, keeping.kept.status) == ("done", 1, "done")


def test_its_exchange_is_closed_before_its_last_frame_is_kept(produce: Produce) -> None:
    keeping, upstream = produce()
    kept_then: list[int] = []
    keeping.stage.on_close = lambda: kept_then.append(keeping.kept.log.last_seq)
    upstream.say(frame("1"))
    upstream.finish()
    until(lambda: keeping.kept.outcome)
    assert (kept_then, keeping.kept.log.last_seq) == ([1], 2)


def test_its_upstream_can_be_used_again(produce: Produce) -> None:
    keeping, upstream = produce()
    upstream.finish()
    until(lambda: keeping.kept.outcome)
    keeping.kept = new_kept()
    keeping.making = gevent.spawn(keeping._make)
    upstream.read_request()
    upstream.head()
    upstream.finish()
    until(lambda: keeping.kept.outcome)
    assert keeping.kept.status == "done"


def test_readers_that_come_and_go_change_nothing(produce: Produce) -> None:
    keeping, upstream = produce()
    first = keeping.follower()
    upstream.say(frame("1"))
    first.until(numbered(1))
    first.close()
    until(lambda: not keeping.kept.readers)
    upstream.say(frame("2"))
    until(lambda: keeping.kept.log.last_seq == 2)
    second = keeping.follower(1)
    upstream.finish()
    second.until(LAST_CHUNK)
    assert second.body == numbered(2) + last(3)
    assert keeping.stage.end == "done"


@pytest.mark.parametrize(
    ("bound", "end", "code"),
    [("idle_seconds_max", "stall", "upstream_idle_timeout"), ("total_seconds_max", "deadline", "deadline_exceeded")],
)
def test_its_times_run_without_a_reader(produce: Produce, bound: str, end: str, code: str) -> None:
    began = time.monotonic()
    keeping, upstream = produce(**{bound: 0.2})
    upstream.say(frame("1"))
    until(lambda: keeping.kept.outcome, 2)
    assert time.monotonic() - began >= 0.2
    assert (keeping.stage.end, keeping.endings[0].code, keeping.kept.status) == (end, code, "failed")
    assert keeping.endings[0].last in log_of(keeping.kept)
    assert upstream.sees_the_other_leave(1)


def test_an_upstream_that_breaks_is_told_in_the_log(produce: Produce) -> None:
    keeping, upstream = produce()
    upstream.say(frame("1"))
    upstream.reset()
    until(lambda: keeping.kept.outcome)
    assert (keeping.stage.end, keeping.endings[0].code) == ("reset", "upstream_disconnected")
    assert log_of(keeping.kept) == numbered(1) + keeping.endings[0].last


def test_a_drain_tells_it_in_the_log_and_to_those_who_follow(produce: Produce, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.pump.pump.ERROR_SECONDS_MAX", 0.2)
    keeping, upstream = produce()
    caller = keeping.follower()
    upstream.say(frame("1"))
    caller.until(numbered(1))
    keeping.stage.pump.drain()
    caller.to_the_end()
    assert (told(caller.body.partition(b"\n\n")[2].partition(b"\n")[2]), caller.is_whole) == ("relay_draining", False)
    assert keeping.stage.end == "drained"
    assert keeping.ended[0].end == "done"


def test_a_revoked_key_ends_it(produce: Produce) -> None:
    keeping, upstream = produce()
    keeping.stage.pump.revoke({KEY})
    until(lambda: keeping.kept.outcome)
    assert (keeping.stage.end, keeping.endings[0].code) == ("revoked", "key_revoked")


def test_a_killed_production_leaves_nothing(produce: Produce) -> None:
    keeping, upstream = produce()
    upstream.say(frame("1"))
    until(lambda: keeping.kept.log.last_seq)
    assert keeping.making is not None
    keeping.making.kill()
    assert (keeping.stage.closed, keeping.stage.pump.live, keeping.kept.room) == (1, {}, None)
    assert upstream.sees_the_other_leave(1)


def test_what_came_with_the_head_is_kept_too(stage: Callable[..., Stage]) -> None:
    keeping = Keeping(stage(), new_kept())
    keeping.making = gevent.spawn(keeping._make)
    upstream = keeping.stage.upstream.next()
    upstream.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(frame("1"))
        + chunk(DONE)
        + b"0\r\n\r\n"
    )
    until(lambda: keeping.kept.outcome)
    assert log_of(keeping.kept) == numbered(1) + last(2)


class Numbering:
    last_seq = 7


def outlet_of(kept: Kept, drained: list[str]) -> LogOutlet:
    return LogOutlet(kept, Numbering(), lambda: drained.append("drained"), lambda: None)


def test_room_is_told_by_the_loop_whoever_made_it() -> None:
    kept, drained = new_kept(100), list[str]()
    outlet = outlet_of(kept, drained)
    outlet.pending = b"full"
    outlet.watch()
    assert kept.room is not None
    kept.room()
    assert (drained, kept.room) == ([], None), "in the greenlet of a reader"
    gevent.sleep(0)
    assert (drained, outlet.pending) == (["drained"], b"")


def test_once_stopped_it_waits_for_no_room() -> None:
    kept, drained = new_kept(100), list[str]()
    outlet = outlet_of(kept, drained)
    outlet.watch()
    outlet.stop()
    assert kept.room is None
    assert outlet.taken_at == NEVER, "no time of a slow reader runs here"


def test_what_is_written_ends_with_the_last_frame_that_was_numbered() -> None:
    kept = new_kept(100)
    outlet = outlet_of(kept, [])
    outlet.write(b"x", 5.0)
    assert (kept.log.last_seq, outlet.wrote_at, outlet.pending) == (7, 5.0, b"")
