"""BLOCKED: a caller that does not read slows its own upstream, within bounds, and nothing of the stream is lost."""

import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from relay.core.flow import Ending
from relay.core.sse import PING
from relay.pump.source import Source
from relay.pump.stream import Stream
from tests.pump.outcomes import assert_cut, told
from tests.pump.partners import DONE, LAST_CHUNK, SMALL_BYTES, Answering, Caller, fill, frame, turns_during, until
from tests.pump.stage import KEY, Stage, Streaming, Tls

KIB = frame("x" * 1016)


def block(stage: Stage, upstream: Answering) -> tuple[Stream, bytes]:
    """Let the upstream say more than the caller's buffers hold; return the stream and all that was said."""
    [stream] = stage.pump.live
    said = [KIB] * 200
    upstream.say(*said)
    until(lambda: stream.sink.pending)
    return stream, b"".join(said)


def test_a_caller_that_reads_again_gets_everything_in_order(narrow: Streaming) -> None:
    stage, caller, upstream = narrow()
    numbered = [frame(f"{number:08}" * 100) for number in range(2000)]
    writing = gevent.spawn(upstream.say, *numbered)
    [stream] = stage.pump.live
    until(lambda: stream.sink.pending)
    gevent.sleep(0.05)
    caller.until(f"{1999:08}\n\n".encode())
    writing.join()
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.body == b"".join(numbered) + DONE
    assert stage.end == "done"


def test_the_upstream_of_a_caller_that_does_not_read_cannot_go_on(narrow: Streaming) -> None:
    stage, caller, upstream = narrow()
    sent = 0

    def flood() -> None:
        nonlocal sent
        while True:
            sent += upstream.sock.send(b"1000\r\n" + KIB * 4 + b"\r\n")

    flooding = gevent.spawn(flood)
    gevent.sleep(0.2)
    paused_at = sent
    gevent.sleep(0.1)
    [stream] = stage.pump.live
    assert sent == paused_at < 8_000_000, "the kernel's buffers between the two, and no more"
    assert len(stream.sink.pending) < 128 * 1024
    flooding.kill()


def test_reading_resumes_the_moment_the_caller_took_all(narrow: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for an event: bytes may wait in TLS, which no event announces."""
    stage, caller, upstream = narrow()
    stream, _ = block(stage, upstream)
    calls = []
    read = stream.source.read
    monkeypatch.setattr(type(stream.source), "read", lambda source: calls.append(stream.sink.pending) or read())
    stream.sink.pending = b""
    stream._drained()
    assert calls[0] == b""


def test_a_caller_that_takes_nothing_is_cut_without_a_frame(narrow: Streaming) -> None:
    stage, caller, upstream = narrow(slow_reader_seconds_max=0.2)
    block(stage, upstream)
    begun_at = time.monotonic()
    until(lambda: stage.closed)
    assert 0.15 < time.monotonic() - begun_at < 0.7
    assert upstream.sees_the_other_leave(1)
    until(lambda: stage.served[0].dead, 0.5)
    caller.to_the_end()
    assert (stage.meter.endings, caller.is_whole) == ([Ending("client_slow")], False)
    assert b"error" not in caller.received
    assert DONE not in caller.received


def test_the_time_of_a_slow_reader_begins_when_it_becomes_slow(narrow: Streaming) -> None:
    stage, caller, upstream = narrow(slow_reader_seconds_max=0.3)
    gevent.sleep(0.4)
    block(stage, upstream)
    blocked_at = time.monotonic()
    until(lambda: stage.closed)
    assert time.monotonic() - blocked_at > 0.25


def trickle(caller: Caller, seconds: float) -> Iterator[bytes]:
    """Read a little, all the time."""
    until_at = time.monotonic() + seconds
    while time.monotonic() < until_at:
        yield caller.sock.recv(2048)
        gevent.sleep(0.02)


def test_a_caller_that_takes_a_little_is_not_cut(narrow: Streaming) -> None:
    stage, caller, upstream = narrow(slow_reader_seconds_max=0.25)
    block(stage, upstream)
    caller.received += b"".join(trickle(caller, 0.7))
    assert not stage.meter.endings
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.is_whole


def test_no_heartbeat_while_something_is_pending(narrow: Streaming) -> None:
    stage, caller, upstream = narrow(heartbeat_seconds=0.03)
    stream, said = block(stage, upstream)
    gevent.sleep(0.1)
    stream.on_due(time.monotonic())
    assert PING not in stream.sink.pending
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.body.replace(PING, b"") == said + DONE


def test_a_heartbeat_comes_in_time_after_the_caller_was_slow(narrow: Streaming) -> None:
    stage, caller, upstream = narrow(heartbeat_seconds=0.1, slow_reader_seconds_max=30)
    block(stage, upstream)
    gevent.sleep(0.15)
    with gevent.Timeout(2):
        caller.until(PING)


def test_a_heartbeat_that_does_not_fit_pauses_the_upstream_too(narrow: Streaming) -> None:
    """Its readable socket would else keep the loop turning."""
    stage, caller, upstream = narrow(heartbeat_seconds=0.05)
    [stream] = stage.pump.live
    fill(stream.sink.wire.sock)
    until(lambda: stream.sink.pending)
    upstream.say(frame("a"))
    gevent.sleep(0.02)
    assert turns_during(0.1) < 50


def test_the_total_deadline_holds_for_a_blocked_stream(narrow: Streaming) -> None:
    stage, caller, upstream = narrow(total_seconds_max=0.2)
    _, said = block(stage, upstream)
    until(lambda: stage.closed)
    caller.to_the_end()
    assert (stage.end, told(caller.body), caller.is_whole) == ("deadline", "deadline_exceeded", False)
    assert said.startswith(caller.body.rpartition(b"data: {")[0])


def test_a_blocked_stream_is_cut_with_a_frame_behind_what_is_pending(narrow: Streaming) -> None:
    stage, caller, upstream = narrow()
    stream, said = block(stage, upstream)
    stage.pump.revoke({KEY})
    until(lambda: stage.closed)
    caller.to_the_end()
    assert (stage.end, told(caller.body), caller.is_whole) == ("revoked", "key_revoked", False)
    assert said.startswith(caller.body.rpartition(b"data: {")[0])


def test_a_cut_does_not_wait_for_a_caller_that_reads_nothing(
    narrow: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.pump.pump.ERROR_SECONDS_MAX", 0.1)
    stage, caller, upstream = narrow()
    block(stage, upstream)
    stage.pump.revoke({KEY})
    begun_at = time.monotonic()
    until(lambda: stage.served[0].dead)
    assert time.monotonic() - begun_at < 1
    caller.to_the_end()
    assert not caller.is_whole


def test_the_idle_time_does_not_run_while_blocked_and_starts_anew(narrow: Streaming) -> None:
    stage, caller, upstream = narrow(idle_seconds_max=0.2)
    _, said = block(stage, upstream)
    gevent.sleep(0.4)
    assert not stage.meter.endings
    caller.until(b"x\n\n")
    drained_at = time.monotonic()
    assert_cut(stage, caller, "stall", "upstream_idle_timeout", before=said)
    assert 0.15 < time.monotonic() - drained_at < 0.8


def test_the_idle_time_starts_anew_although_the_upstream_is_silent(narrow: Streaming) -> None:
    """It was not asked all the while."""
    stage, caller, upstream = narrow(idle_seconds_max=0.3)
    upstream.say(*[KIB] * 45)
    [stream] = stage.pump.live
    until(lambda: stream.sink.pending)
    assert stream.source.read() is None, "all that was said has been read"
    gevent.sleep(0.5)
    caller.until(KIB * 44)
    drained_at = time.monotonic()
    assert_cut(stage, caller, "stall", "upstream_idle_timeout", before=KIB * 45)
    assert time.monotonic() - drained_at > 0.25


def test_nothing_is_read_while_something_is_pending(
    stage: Callable[..., Stage], tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not what TLS holds already."""
    made = stage(tls=tls, pending_bytes_max=2000)
    made.sndbuf_bytes = SMALL_BYTES
    caller = made.caller(rcvbuf_bytes=SMALL_BYTES)
    upstream = made.begin(caller)
    [stream] = made.pump.live
    read, pending = Source.read, []

    def noted(source: Source) -> bytes | None:
        pending.append(stream.sink.pending)
        return read(source)

    monkeypatch.setattr(Source, "read", noted)
    block(made, upstream)
    gevent.sleep(0.05)
    assert set(pending) == {b""}


def test_a_blocked_caller_that_leaves_ends_the_stream(narrow: Streaming) -> None:
    stage, caller, upstream = narrow()
    block(stage, upstream)
    caller.reset()
    assert upstream.sees_the_other_leave(1)
    assert stage.end == "client_gone"


def test_the_end_of_a_blocked_stream_waits_for_the_caller(narrow: Streaming) -> None:
    stage, caller, upstream = narrow()
    upstream.say(KIB)
    caller.until(b"x\n\n")
    upstream.say(*[KIB] * 60, DONE)
    until(lambda: stage.closed)
    gevent.sleep(0.05)
    upstream.send(b"0\r\n\r\n")
    caller.until(LAST_CHUNK)
    assert (caller.body, stage.end) == (KIB * 61 + DONE, "done")
