"""A stream on its way into a log: kept whoever reads, slowed by the slowest reader, and never by those who left."""

import time
from collections.abc import Callable
from contextlib import suppress

import gevent
import pytest

from relay.core.kept import Kept
from relay.pump.log_outlet import LogOutlet
from relay.pump.sweep import NEVER
from tests.pump.keeping import STREAM, Keeping, new_kept, numbered
from tests.pump.outcomes import told
from tests.pump.partners import DONE, LAST_CHUNK, SMALL_BYTES, Answering, chunk, frame, until
from tests.pump.stage import KEY, Stage

LINE = "x" * 1000
Begin = Callable[..., tuple[Keeping, Answering]]


@pytest.fixture
def begin(stage: Callable[..., Stage]) -> Begin:
    """begin(bytes_max=20_000, total_seconds_max=1): a production whose upstream's head has come."""

    def start(bytes_max: int = 65_536, sndbuf_bytes: int = 0, **shorter: float) -> tuple[Keeping, Answering]:
        made = stage(**shorter)
        made.sndbuf_bytes = sndbuf_bytes
        keeping = Keeping(made, new_kept(bytes_max))
        upstream = keeping.produce()
        until(lambda: keeping.kept.head and made.pump.live)
        return keeping, upstream

    return start


def log_of(kept: Kept) -> bytes:
    return b"".join(data for data, _ in kept.log.pieces())


def said(count: int) -> bytes:
    return b"".join(numbered(seq, LINE) for seq in range(1, count + 1))


def flood(upstream: Answering, count: int) -> gevent.Greenlet:
    """The upstream says so many lines and ends, as fast as it is read, as long as it is."""

    def say() -> None:
        with suppress(OSError):
            for _ in range(count):
                upstream.say(frame(LINE))
            upstream.finish()

    return gevent.spawn(say)


def last(seq: int) -> bytes:
    return f"id: {STREAM}:{seq}\n".encode() + DONE


def test_without_a_reader_it_is_made_to_its_end(begin: Begin) -> None:
    keeping, upstream = begin()
    upstream.say(frame("1"), frame("2"))
    upstream.finish()
    until(lambda: keeping.kept.outcome)
    assert log_of(keeping.kept) == numbered(1) + numbered(2) + last(3)
    assert (keeping.stage.end, keeping.stage.closed, keeping.kept.status) == ("done", 1, "done")


def test_its_exchange_is_closed_before_its_last_frame_is_kept(begin: Begin) -> None:
    keeping, upstream = begin()
    kept_then: list[int] = []
    keeping.stage.on_close = lambda: kept_then.append(keeping.kept.log.last_seq)
    upstream.say(frame("1"))
    upstream.finish()
    until(lambda: keeping.kept.outcome)
    assert (kept_then, keeping.kept.log.last_seq) == ([1], 2)


def test_its_upstream_can_be_used_again(begin: Begin) -> None:
    keeping, upstream = begin()
    upstream.finish()
    until(lambda: keeping.kept.outcome)
    keeping.kept = new_kept()
    keeping.making = gevent.spawn(keeping._make)
    upstream.read_request()
    upstream.head()
    upstream.finish()
    until(lambda: keeping.kept.outcome)
    assert keeping.kept.status == "done"


def test_readers_that_come_and_go_change_nothing(begin: Begin) -> None:
    keeping, upstream = begin()
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


def test_a_slow_reader_slows_the_upstream_within_bounds_and_gets_all(begin: Begin) -> None:
    keeping, upstream = begin(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    writing = flood(upstream, 4000)
    [stream] = keeping.stage.pump.live
    until(lambda: stream.sink.pending)
    gevent.sleep(0.1)
    paused_at = keeping.kept.log.last_seq
    assert keeping.kept.log.bytes < 20_000 + 80_000, "the bound, and one read"
    gevent.sleep(0.1)
    assert keeping.kept.log.last_seq == paused_at < 4000
    caller.until(LAST_CHUNK)
    writing.join()
    assert caller.body == said(4000) + last(4001)
    assert keeping.stage.end == "done"


def test_who_leaves_makes_room_and_the_end_is_heard(begin: Begin) -> None:
    """Room is made in the greenlet of the one who leaves; the stream ends within what is read then."""
    keeping, upstream = begin(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    [stream] = keeping.stage.pump.live
    said_now = 0
    while not stream.sink.pending:
        upstream.say(*[frame(LINE)] * 20)
        said_now += 20
        gevent.sleep(0.005)
    upstream.finish()
    caller.close()
    until(lambda: keeping.kept.outcome, 2)
    assert (keeping.kept.status, keeping.kept.log.last_seq) == ("done", said_now + 1)
    assert keeping.making is not None
    keeping.making.get(timeout=1)


def test_who_joins_and_takes_what_was_missing_makes_room_and_the_end_is_heard(begin: Begin) -> None:
    keeping, upstream = begin(bytes_max=20_000)

    class Stuck:
        cursor = 0

        def advance(self) -> None: ...

    stuck = Stuck()
    keeping.kept.join(stuck)
    [stream] = keeping.stage.pump.live
    said_now = 0
    while not stream.sink.pending:
        upstream.say(*[frame(LINE)] * 20)
        said_now += 20
        gevent.sleep(0.005)
    upstream.finish()
    gevent.sleep(0.02)
    stuck.cursor = keeping.kept.log.last_seq
    caller = keeping.follower()
    caller.until(LAST_CHUNK)
    assert caller.body == said(said_now) + last(said_now + 1)


def test_a_slow_reader_is_dropped_and_the_stream_goes_on_for_the_others(begin: Begin) -> None:
    keeping, upstream = begin(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES, slow_reader_seconds_max=0.3)
    slow, other = keeping.follower(rcvbuf_bytes=SMALL_BYTES), keeping.follower()
    writing = flood(upstream, 2000)
    other.until(LAST_CHUNK)
    writing.join()
    assert other.body == said(2000) + last(2001)
    assert sorted(follower.end or "" for follower in keeping.ended) == ["client_slow", "done"]
    slow.sees_the_other_leave()
    assert not slow.is_whole


def test_a_cut_while_it_waits_for_room_is_told_to_those_who_read_on(begin: Begin) -> None:
    keeping, upstream = begin(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    writing = flood(upstream, 4000)
    [stream] = keeping.stage.pump.live
    until(lambda: stream.sink.pending)
    stream.cut("cancelled", "cancelled")
    until(lambda: keeping.kept.outcome, 1)
    count = keeping.kept.log.last_seq
    caller.to_the_end()
    assert caller.body.startswith(said(count - 1) + f"id: {STREAM}:{count}\n".encode())
    assert (told(caller.body.replace(f"id: {STREAM}:{count}\n".encode(), b"")), caller.is_whole) == ("cancelled", False)
    writing.kill()


@pytest.mark.parametrize(
    ("bound", "end", "code"),
    [("idle_seconds_max", "stall", "upstream_idle_timeout"), ("total_seconds_max", "deadline", "deadline_exceeded")],
)
def test_its_times_run_without_a_reader(begin: Begin, bound: str, end: str, code: str) -> None:
    began = time.monotonic()
    keeping, upstream = begin(**{bound: 0.2})
    upstream.say(frame("1"))
    until(lambda: keeping.kept.outcome, 2)
    assert time.monotonic() - began >= 0.2
    assert (keeping.stage.end, keeping.endings[0].code, keeping.kept.status) == (end, code, "failed")
    assert keeping.endings[0].last in log_of(keeping.kept)
    assert upstream.sees_the_other_leave(1)


def test_an_upstream_that_waits_for_a_slow_reader_is_not_idle(begin: Begin) -> None:
    keeping, upstream = begin(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES, idle_seconds_max=0.3)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    writing = flood(upstream, 1500)
    [stream] = keeping.stage.pump.live
    until(lambda: stream.sink.pending)
    gevent.sleep(0.6)
    assert not keeping.endings
    caller.until(LAST_CHUNK)
    writing.join()
    assert caller.body == said(1500) + last(1501)


def test_an_upstream_that_breaks_is_told_in_the_log(begin: Begin) -> None:
    keeping, upstream = begin()
    upstream.say(frame("1"))
    upstream.reset()
    until(lambda: keeping.kept.outcome)
    assert (keeping.stage.end, keeping.endings[0].code) == ("reset", "upstream_disconnected")
    assert log_of(keeping.kept) == numbered(1) + keeping.endings[0].last


def test_a_drain_tells_it_in_the_log_and_to_those_who_follow(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.pump.pump.ERROR_SECONDS_MAX", 0.2)
    keeping, upstream = begin()
    caller = keeping.follower()
    upstream.say(frame("1"))
    caller.until(numbered(1))
    keeping.stage.pump.drain()
    caller.to_the_end()
    assert (told(caller.body.partition(b"\n\n")[2].partition(b"\n")[2]), caller.is_whole) == ("relay_draining", False)
    assert keeping.stage.end == "drained"
    assert keeping.ended[0].end == "done"


def test_a_revoked_key_ends_it(begin: Begin) -> None:
    keeping, upstream = begin()
    keeping.stage.pump.revoke({KEY})
    until(lambda: keeping.kept.outcome)
    assert (keeping.stage.end, keeping.endings[0].code) == ("revoked", "key_revoked")


def test_a_killed_production_leaves_nothing(begin: Begin) -> None:
    keeping, upstream = begin()
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
