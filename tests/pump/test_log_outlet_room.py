"""A log that is full: its slowest reader holds the upstream back, and whoever makes room lets it go on."""

from contextlib import suppress

import gevent

from tests.pump.keeping import STREAM, Produce, last, numbered
from tests.pump.outcomes import told
from tests.pump.partners import LAST_CHUNK, SMALL_BYTES, Answering, frame, until

LINE = "x" * 1000


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


def test_a_slow_reader_slows_the_upstream_within_bounds_and_gets_all(produce: Produce) -> None:
    keeping, upstream = produce(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    writing = flood(upstream, 1200)
    [stream] = keeping.stage.pump.live
    until(lambda: stream.sink.pending)
    gevent.sleep(0.1)
    paused_at = keeping.kept.log.last_seq
    assert keeping.kept.log.bytes < 20_000 + 160_000, "the bound, and a read or two"
    gevent.sleep(0.1)
    assert keeping.kept.log.last_seq == paused_at < 1200
    caller.until(LAST_CHUNK)
    writing.join()
    assert caller.body == said(1200) + last(1201)
    assert keeping.stage.end == "done"


def test_who_leaves_makes_room_and_the_end_is_heard(produce: Produce) -> None:
    """Room is made in the greenlet of the one who leaves; the stream ends within what is read then."""
    keeping, upstream = produce(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES)
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


def test_who_joins_and_takes_what_was_missing_makes_room_and_the_end_is_heard(produce: Produce) -> None:
    keeping, upstream = produce(bytes_max=20_000)

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


def test_a_slow_reader_is_dropped_and_the_stream_goes_on_for_the_others(produce: Produce) -> None:
    keeping, upstream = produce(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES, slow_reader_seconds_max=0.3)
    slow, other = keeping.follower(rcvbuf_bytes=SMALL_BYTES), keeping.follower()
    writing = flood(upstream, 800)
    other.until(LAST_CHUNK)
    writing.join()
    assert other.body == said(800) + last(801)
    assert sorted(follower.end or "" for follower in keeping.ended) == ["client_slow", "done"]
    slow.sees_the_other_leave()
    assert not slow.is_whole


def test_a_cut_while_it_waits_for_room_is_told_to_those_who_read_on(produce: Produce) -> None:
    keeping, upstream = produce(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    writing = flood(upstream, 1200)
    [stream] = keeping.stage.pump.live
    until(lambda: stream.sink.pending)
    stream.cut("cancelled", "cancelled")
    until(lambda: keeping.kept.outcome, 1)
    count = keeping.kept.log.last_seq
    caller.to_the_end()
    assert caller.body.startswith(said(count - 1) + f"id: {STREAM}:{count}\n".encode())
    assert (told(caller.body.replace(f"id: {STREAM}:{count}\n".encode(), b"")), caller.is_whole) == ("cancelled", False)
    writing.kill()


def test_an_upstream_that_waits_for_a_slow_reader_is_not_idle(produce: Produce) -> None:
    keeping, upstream = produce(bytes_max=20_000, sndbuf_bytes=SMALL_BYTES, idle_seconds_max=0.3)
    caller = keeping.follower(rcvbuf_bytes=SMALL_BYTES)
    writing = flood(upstream, 800)
    [stream] = keeping.stage.pump.live
    until(lambda: stream.sink.pending)
    gevent.sleep(0.6)
    assert not keeping.endings
    caller.until(LAST_CHUNK)
    writing.join()
    assert caller.body == said(800) + last(801)
