"""A stream from an upstream on TLS, where decrypted bytes wait that no event announces."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext

import gevent
import pytest
from gevent import socket

from relay.pump.source import Source
from tests.pump.iterating import begin_iteration
from tests.pump.outcomes import assert_cut, told
from tests.pump.partners import DONE, LAST_CHUNK, STREAM_HEAD, Answering, chunk, frame, until
from tests.pump.stage import Ask, Stage, Tls
from tests.pump.test_stream_blocked import KIB, block

Make = Callable[..., Stage]


def test_a_stream_over_tls_arrives_frame_by_frame(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    upstream = made.begin(caller)
    for number in range(20):
        upstream.say(frame(f"n{number}."))
        caller.until(b"n%d.\n\n" % number)
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert (caller.is_whole, made.end) == (True, "done")


def test_a_stream_over_tls_whose_beginning_came_with_the_head(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    caller.ask()
    made.upstream.next().send(STREAM_HEAD + chunk(frame("a")) + chunk(DONE) + LAST_CHUNK)
    caller.until(LAST_CHUNK)
    assert caller.body == frame("a") + DONE


def test_all_of_a_record_is_read_although_one_event_announces_it(stage: Make, tls: Tls) -> None:
    """Reads of 1,000 bytes leave most of a record of 10,000 within TLS."""
    made = stage(tls=tls, pending_bytes_max=1000)
    caller = made.caller()
    upstream = made.begin(caller)
    upstream.send(chunk(frame("x" * 10_000) + frame("end")))
    with gevent.Timeout(1):
        caller.until(frame("end"))


def test_what_waits_within_tls_is_read_when_the_caller_reads_again(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls, pending_bytes_max=1100)
    made.sndbuf_bytes = 4096
    caller = made.caller(rcvbuf_bytes=4096)
    upstream = made.begin(caller)
    block(made, upstream)
    upstream.say(*[KIB] * 12, frame("end"))
    gevent.sleep(0.05)
    caller.until(frame("end"))
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.body == KIB * 212 + frame("end") + DONE


def test_plain_connections_hold_nothing_back(stage: Make) -> None:
    made = stage()
    caller = made.caller()
    made.begin(caller)
    [stream] = made.pump.live
    assert isinstance(stream.source, Source)
    assert not stream.source.has_more


def test_a_connection_over_tls_serves_the_next_request(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    upstream = made.begin(caller)
    upstream.finish()
    caller.until(LAST_CHUNK)
    caller.forget()
    caller.ask()
    upstream.read_request()
    upstream.head()
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert len(made.upstream.accepted) == 1


@pytest.mark.parametrize(
    ("leave", "end", "code"),
    [(Answering.close, "truncated", "upstream_incomplete"), (Answering.reset, "reset", "upstream_disconnected")],
    ids=["close", "reset"],
)
def test_an_upstream_on_tls_that_leaves_is_told(
    stage: Make, tls: Tls, leave: Callable[[Answering], None], end: str, code: str
) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    upstream = made.begin(caller)
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    leave(upstream)
    assert_cut(made, caller, end, code, before=frame("a"))


def test_a_caller_that_leaves_ends_the_connection_over_tls(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    upstream = made.begin(caller)
    caller.close()
    assert upstream.sees_the_other_leave(1)
    until(lambda: made.meter.endings)
    assert made.end == "client_gone"


def test_an_iteration_over_tls_tells_a_reset_too(stage: Make, tls: Tls) -> None:
    with ExitStack() as opened:
        it = begin_iteration(stage(tls=tls), opened, STREAM_HEAD + chunk(frame("a")))
        assert next(it.body) == frame("a")
        it.upstream.reset()
        assert (told(it.rest_of_a_cut()), it.meter.end) == ("upstream_disconnected", "reset")


class Renewing:
    """A TLS socket that must write, for a key update, before it can read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.is_renewing = sock, True

    def fileno(self) -> int:
        return self._sock.fileno()

    def recv(self, size: int) -> bytes:
        if self.is_renewing:
            raise ssl.SSLWantWriteError
        return self._sock.recv(size)


@pytest.fixture
def renewing(stage: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    made = stage()
    with ExitStack() as opened:
        answer = gevent.spawn(opened.enter_context, made.upstreams.open([made.target], Ask(nullcontext())))
        upstream = made.upstream.next()
        upstream.send(STREAM_HEAD)
        source = Source(answer.get())
        source._sock, source.is_tls = Renewing(source._sock), True
        yield source
        source.stop()


def test_a_stream_that_was_blocked_while_tls_had_to_write_waits_for_the_upstream_again(renewing: Source) -> None:
    """A watcher left on writing would fire for ever."""
    calls = []
    renewing.watch(lambda: calls.append(renewing.read()))
    renewing.read()
    renewing.pause()
    renewing._sock.is_renewing = False
    renewing.resume()
    gevent.sleep(0.02)
    assert calls == []


def test_a_key_update_does_not_end_an_iteration(renewing: Source) -> None:
    assert renewing.read() is None
