"""FLOW and its way to an honest end, with gunicorn's connection loop and a urllib3 response around it."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from relay.core.flow import Ending
from relay.pump.source import READ_BYTES_MAX, Source
from tests.pump.outcomes import assert_cut
from tests.pump.partners import DONE, LAST_CHUNK, STREAM_HEAD, chunk, frame, until
from tests.pump.stage import Stage, Streaming


def test_a_frame_leaves_before_the_upstream_makes_the_next(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    for number in range(50):
        upstream.say(frame(f"n{number}."))
        caller.until(b"n%d.\n\n" % number)
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.body == b"".join(frame(f"n{n}.") for n in range(50)) + DONE
    assert caller.is_whole


def test_flow_ends_with_the_terminal_frame_and_the_last_chunk(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.say(frame("a"))
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert (caller.body, caller.is_whole, stage.end) == (frame("a") + DONE, True, "done")


def test_the_terminal_frame_waits_until_the_exchange_is_closed(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    slot_is_free = gevent.event.Event()
    stage.on_close = slot_is_free.wait
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    upstream.finish()
    until(lambda: stage.closed)
    assert caller.gets_nothing(0.05)
    assert DONE not in caller.received
    slot_is_free.set()
    assert caller.until(LAST_CHUNK).endswith(chunk(DONE) + LAST_CHUNK)


def test_what_comes_with_the_terminal_frame_leaves_with_it_in_order(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    slot_is_free = gevent.event.Event()
    stage.on_close = slot_is_free.wait
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    upstream.say(frame("b") + DONE)
    until(lambda: stage.closed)
    assert caller.gets_nothing(0.05)
    slot_is_free.set()
    assert caller.until(LAST_CHUNK).endswith(chunk(frame("b")) + chunk(DONE) + LAST_CHUNK)
    assert (stage.end, stage.meter.bytes_out) == ("done", len(frame("a") + frame("b") + DONE))


def test_an_error_frame_waits_until_the_exchange_is_closed(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    slot_is_free = gevent.event.Event()
    stage.on_close = slot_is_free.wait
    upstream.close()
    until(lambda: stage.closed)
    assert caller.gets_nothing(0.05)
    slot_is_free.set()
    assert_cut(stage, caller, "truncated", "upstream_incomplete")


def test_no_watcher_is_active_when_the_exchange_closes(streaming: Streaming) -> None:
    """Descriptors close there, and libev would go on with whoever gets their numbers."""
    stage, caller, upstream = streaming()
    watched: list[tuple[int, int]] = []
    [stream] = stage.pump.live
    stage.on_close = lambda: watched.append((len(stage.sweep), sum(w is not None for w in watchers_of(stream))))
    assert (len(stage.sweep), sum(w is not None for w in watchers_of(stream))) == (1, 2)
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert watched == [(0, 0)]


def watchers_of(stream: Any) -> tuple[Any, ...]:
    return stream.source._io, stream.sink._departure._io, stream.sink._io


def test_a_body_that_came_with_its_head_is_never_watched(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[Source] = []
    monkeypatch.setattr(Source, "watch", lambda source, on_readable: watched.append(source))
    made = stage()
    caller = made.caller()
    caller.ask()
    made.upstream.next().send(STREAM_HEAD + chunk(frame("a")) + chunk(DONE) + LAST_CHUNK)
    caller.until(LAST_CHUNK)
    assert (caller.body, watched) == (frame("a") + DONE, [])


def test_what_came_with_the_head_goes_first(stage: Callable[..., Stage]) -> None:
    made = stage()
    caller = made.caller()
    caller.ask()
    upstream = made.upstream.next()
    upstream.send(STREAM_HEAD + chunk(frame("a") + b"data: ha"))
    assert caller.until(b"a\n\n").endswith(chunk(frame("a")))
    upstream.say(b"lf\n\n")
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.body == frame("a") + frame("half") + DONE


def test_a_killed_greenlet_closes_the_exchange_and_leaves_no_watcher(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    stage.served[0].kill()
    assert (stage.closed, stage.end, len(stage.sweep)) == (1, "drained", 0)
    assert upstream.sees_the_other_leave(1)
    caller.to_the_end()
    assert not caller.is_whole


def test_a_cut_that_comes_after_the_kill_does_nothing(streaming: Streaming) -> None:
    stage, caller, upstream = streaming()
    [stream] = stage.pump.live
    stream.cut("revoked", "key_revoked")
    stage.served[0].kill(block=False)
    caller.to_the_end()
    assert stage.closed == 1
    assert isinstance(stage.meter.endings[-1], Ending)


def test_one_stream_reads_a_bounded_amount_a_turn(streaming: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, caller, upstream = streaming()
    turns: list[int] = []
    read, loop = Source.read, gevent.get_hub().loop

    def counted(source: Source) -> bytes | None:
        turns.append(loop.iteration)
        data = read(source)
        assert data is None or len(data) <= READ_BYTES_MAX
        return data

    monkeypatch.setattr(Source, "read", counted)
    writing = gevent.spawn(upstream.send, chunk(frame("x" * 1000)) * 1000)
    while caller.received.count(b"data: x") < 1000:
        caller.received += caller.sock.recv(1_000_000)
    writing.join()
    assert len(turns) == len(set(turns)) >= 1_000_000 // READ_BYTES_MAX
