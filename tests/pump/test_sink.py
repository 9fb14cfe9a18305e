"""The caller's side alone: whole frames out, what the socket does not take is kept in order."""

import time
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import socket

from relay.pump.departure import CallerGone
from relay.pump.sink import Sink
from relay.pump.sweep import Sweep
from relay.pump.takeover import Wire
from tests.pump.partners import LAST_CHUNK, Caller, Response, chunk, turns_during, until

BLOCK = b"x" * 100_000
Ends = tuple[Caller, socket.socket]


class Events(list[str]):
    """What the sink called."""

    def note(self, what: str) -> Callable[[], None]:
        return lambda: self.append(what)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def sink(ends: Ends, events: Events) -> Iterator[Sink]:
    made = Sink(Wire(Response(ends[1], chunked=False)), events.note("drained"), events.note("gone"))
    yield made
    made.stop()


def fill(sink: Sink) -> bytes:
    """Write more than the caller's buffers hold."""
    sink.write(BLOCK, time.monotonic())
    assert sink.pending
    return BLOCK


def test_what_the_socket_takes_leaves_at_once(ends: Ends, sink: Sink, events: Events) -> None:
    sink.write(b"data: a\n\n", 7.0)
    assert (sink.pending, sink.wrote_at, events) == (b"", 7.0, [])
    assert ends[0].until(b"\n\n") == b"data: a\n\n"


def test_a_chunked_response_gets_each_write_as_a_chunk(ends: Ends, events: Events) -> None:
    sink = Sink(Wire(Response(ends[1], chunked=True)), events.note("drained"), events.note("gone"))
    sink.write(b"data: a\n\n", 0.0)
    assert ends[0].until(b"\n\n\r\n") == chunk(b"data: a\n\n")


def test_writing_nothing_does_not_end_a_chunked_response(ends: Ends, events: Events) -> None:
    sink = Sink(Wire(Response(ends[1], chunked=True)), events.note("drained"), events.note("gone"))
    sink.write(b"", 0.0)
    assert ends[0].gets_nothing(0.02)


def test_a_head_that_waited_goes_with_the_first_bytes(ends: Ends, events: Events) -> None:
    sink = Sink(Wire(Response(ends[1], chunked=True), b"head\r\n\r\n"), events.note("drained"), events.note("gone"))
    sink.write(b"a", 0.0)
    sink.write(b"b", 0.0)
    assert ends[0].until(b"b\r\n") == b"head\r\n\r\n" + chunk(b"a") + chunk(b"b")


def test_a_head_does_not_wait_longer_than_for_what_is_there(ends: Ends, events: Events, sweep: Sweep) -> None:
    sink = Sink(Wire(Response(ends[1], chunked=True), b"head\r\n\r\n"), events.note("drained"), events.note("gone"))
    sink.attend(sweep)
    assert ends[0].until(b"\r\n\r\n") == b"head\r\n\r\n"
    sink.write(b"a", 0.0)
    assert ends[0].until(b"a\r\n").endswith(b"head\r\n\r\n" + chunk(b"a"))
    sink.stop()


def test_a_caller_to_whom_no_head_can_be_sent_is_gone(ends: Ends, events: Events, sweep: Sweep) -> None:
    sink = Sink(Wire(Response(ends[1], chunked=True), b"head\r\n\r\n"), events.note("drained"), events.note("gone"))
    ends[1].shutdown(socket.SHUT_WR)
    sink.attend(sweep)
    sink.stop()
    assert events == ["gone"]


def test_what_is_held_waits_behind_the_head_for_whoever_ends_the_response(ends: Ends, events: Events) -> None:
    sink = Sink(Wire(Response(ends[1], chunked=True), b"head\r\n\r\n"), events.note("drained"), events.note("gone"))
    sink.hold(b"a")
    assert ends[0].gets_nothing(0.02)
    assert (sink.pending, sink.wire.framed(b"b")) == (b"head\r\n\r\n" + chunk(b"a"), chunk(b"b"))


def test_the_last_chunk_is_that_of_the_coding(ends: Ends) -> None:
    assert Wire(Response(ends[1], chunked=True)).last_chunk == LAST_CHUNK
    assert Wire(Response(ends[1], chunked=False)).last_chunk == b""


def test_what_the_socket_does_not_take_is_kept_and_follows_in_order(ends: Ends, sink: Sink, events: Events) -> None:
    fill(sink)
    sink.write(b"second", time.monotonic())
    sink.write(b"third", time.monotonic())
    assert events == []
    ends[0].until(b"third")
    assert ends[0].received == BLOCK + b"secondthird"
    until(lambda: events)
    assert (sink.pending, events) == (b"", ["drained"])


def test_a_drained_sink_does_not_keep_the_loop_turning(ends: Ends, sink: Sink, events: Events) -> None:
    fill(sink)
    while not events:
        ends[0].sock.recv(65_536)
    assert turns_during(0.05) < 20
    assert events == ["drained"]


def test_a_sink_can_fill_and_drain_again(ends: Ends, sink: Sink, events: Events) -> None:
    for mark in (b"1", b"2"):
        fill(sink)
        sink.write(mark, time.monotonic())
        ends[0].until(mark)
        until(lambda: not sink.pending)
    assert events == ["drained", "drained"]


def test_only_bytes_that_are_taken_count_as_progress(ends: Ends, sink: Sink) -> None:
    fill(sink)
    settle(sink)
    blocked_at = sink.taken_at
    sink.write(b"more", time.monotonic())
    gevent.sleep(0.02)
    assert sink.taken_at == blocked_at
    ends[0].until(b"x" * 50_000)
    until(lambda: sink.taken_at > blocked_at)


def test_the_time_without_progress_begins_with_the_write_that_did_not_fit(sink: Sink) -> None:
    sink.write(BLOCK, 7.0)
    assert (bool(sink.pending), sink.taken_at) == (True, 7.0)


def settle(sink: Sink) -> None:
    """The kernel goes on for a moment, even when nobody reads."""
    pending = b""
    while pending != sink.pending:
        pending = sink.pending
        gevent.sleep(0.1)


def test_writing_to_a_caller_that_reset_says_that_it_is_gone(ends: Ends, sink: Sink, events: Events) -> None:
    ends[0].reset()
    with pytest.raises(CallerGone):
        for _ in range(3):
            sink.write(b"data: a\n\n", 0.0)
    assert events == []


def test_a_caller_that_resets_while_something_is_pending_is_gone(ends: Ends, sink: Sink, events: Events) -> None:
    fill(sink)
    ends[0].reset()
    until(lambda: events)
    sink.stop()
    assert set(events) == {"gone"}


def test_no_library_takes_a_departure_for_its_own_failure() -> None:
    assert not issubclass(CallerGone, Exception)


def test_stopping_keeps_what_is_pending_and_writes_no_more(ends: Ends, sink: Sink, events: Events) -> None:
    fill(sink)
    sink.stop()
    pending = sink.pending
    sink.stop()
    ends[0].until(BLOCK[: len(BLOCK) - len(pending)])
    gevent.sleep(0.02)
    assert (sink.pending, events) == (pending, [])
