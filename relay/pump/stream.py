"""FLOW, BLOCKED and the ways out: one upstream body on its way to one caller, on the event loop.

No greenlet works here per frame. The request's greenlet sleeps in `run` until one of the callbacks ends the stream;
every callback is guarded, because gevent stops a watcher whose callback raised, and the stream would hang for ever.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import gevent
from gevent.hub import Waiter

from relay.core.body import BadBody
from relay.core.flow import Ending, Flow
from relay.pump.departure import CallerGone
from relay.pump.outlet import NewOutlet
from relay.pump.source import Source
from relay.pump.sweep import Sweep

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a stream: times in seconds, and how much may wait for its caller."""

    heartbeat_seconds: float
    idle_seconds_max: float
    total_seconds_max: float
    slow_reader_seconds_max: float
    pending_bytes_max: int


def guarded(callback: "Callable[Concatenate[Stream, P], None]") -> "Callable[Concatenate[Stream, P], None]":
    """End the stream, whatever its callback raised."""

    @wraps(callback)
    def call(self: "Stream", *args: P.args, **_: P.kwargs) -> None:
        try:
            callback(self, *args)  # type: ignore[call-arg]
        except BaseException as error:
            self._fail(error)

    return call  # type: ignore[return-value]


class Stream:
    """The state machine.

    `ending`: None while it lives. `first_at`: when the first bytes went out (monotonic seconds).
    """

    __slots__ = (
        "__weakref__", "_begun_at", "_bounds", "_flow", "_read_at", "_sweep", "_waiter",
        "due", "bytes_out",
        "ending", "failure", "first_at", "sink", "source",
    )  # fmt: skip

    def __init__(self, source: Source, outlet: NewOutlet, flow: Flow, sweep: Sweep, bounds: Bounds) -> None:
        self.source, self._flow, self._sweep, self._bounds = source, flow, sweep, bounds
        self.sink = outlet(self._drained, self._gone)
        self._waiter: Any = None
        self.ending: Ending | None = None
        self.failure: BaseException | None = None
        self.first_at, self.bytes_out = 0.0, 0
        self._begun_at = self._read_at = time.monotonic()
        self.due = self._next_due(self._begun_at)

    def run(self) -> Ending:
        """Pump until the stream has ended; the greenlet sleeps meanwhile.

        No watcher is left behind, also when it is killed.
        """
        try:
            self._feed_buffered()
            if self.ending is None:
                self._watch()
                self._waiter.get()
        finally:
            self._unwatch()
        assert self.ending is not None
        return self.ending

    def cut(self, end: str, code: str) -> None:
        """End the stream from another greenlet (revoked, drained, cancelled) with an error frame."""
        gevent.get_hub().loop.run_callback(self._cut, end, code)

    def drop(self, end: str) -> None:
        """End the stream from another greenlet without a word: its caller takes none."""
        gevent.get_hub().loop.run_callback(self._end, Ending(end))

    # What the loop calls.

    @guarded
    def _feed_buffered(self) -> None:
        """The body may be complete already: no watcher is made for it."""
        if self.source.buffered or self.source.decoder.ended:
            self._take(self.source.buffered, self._read_at)
        if self.source.has_more:
            self._readable()

    def _readable(self) -> None:
        """For every read there is; guarded like the others, but without one call more a frame."""
        source = self.source
        try:
            while self.ending is None and not self.sink.pending:
                data = source.read()
                if data is None:
                    return
                self._read_at = now = time.monotonic()
                if data:
                    self._take(data, now)
                else:
                    self._end(self._flow.verdict(body_ended=source.decoder.at_eof()))
                if not (source.is_tls and source.has_more):
                    return
        except BaseException as error:
            self._fail(error)

    @guarded
    def _drained(self) -> None:
        self._read_at = time.monotonic()  # while blocked nobody asked the upstream
        self.due = self._next_due(self._read_at)
        if self.ending is None:
            self.source.resume()
            self._readable()  # bytes may wait in TLS, which no event announces

    @guarded
    def _gone(self) -> None:
        raise CallerGone

    @guarded
    def _cut(self, end: str, code: str) -> None:
        if self.ending is None:
            self._end(self._flow.broken(end, code))

    @guarded
    def on_due(self, now: float) -> None:
        if self.sink.pending:
            if now - self.sink.taken_at >= self._bounds.slow_reader_seconds_max:
                self._end(Ending("client_slow"))
        elif now - self._read_at >= self._bounds.idle_seconds_max:
            self._end(self._flow.broken("stall", "upstream_idle_timeout"))
        elif self._flow.ping and now - self.sink.wrote_at >= self._bounds.heartbeat_seconds:
            self.sink.write(self._flow.ping, now)
            if self.sink.pending:
                self._block(now)
        if now - self._begun_at >= self._bounds.total_seconds_max:
            self._end(self._flow.broken("deadline", "deadline_exceeded"))
        self.due = self._next_due(now)

    # Steps.

    def _take(self, data: bytes, now: float) -> None:
        """One read on its way: body bytes, whole frames, the caller's socket."""
        decoder, flow = self.source.decoder, self._flow
        out = flow.feed(decoder.feed(data))
        if decoder.ended and flow.ends_with_its_body:  # complete with its last byte: the slot must be free before that
            verdict = flow.verdict(body_ended=True)
            self._end(Ending(verdict.end, out + verdict.last, verdict.whole))
            return
        if flow.terminal:
            self._hold(out)
        elif out:
            self._deliver(out, now)
        if flow.overflowed:
            self._end(flow.broken("oversize", "frame_too_large"))
        elif flow.terminal or decoder.ended:
            self._end(flow.verdict(body_ended=decoder.ended))

    def _fail(self, error: BaseException) -> None:
        """Say whose fault it was; a defect of ours is told as such."""
        if isinstance(error, CallerGone):
            self._end(Ending("client_gone"))
        elif isinstance(error, BadBody):
            self._rescue(error.payload)
        elif isinstance(error, OSError):
            self._end(self._flow.broken("reset", "upstream_disconnected"))
        else:
            self.failure = error
            self._end(self._flow.broken("truncated", "internal_error"))

    def _rescue(self, payload: bytes) -> None:
        """Deliver what came whole before the upstream broke its framing; what is complete then is complete."""
        try:
            out = self._flow.feed(payload)
            if out:
                self._deliver(out, time.monotonic())
        except BaseException as error:
            self._fail(error)
        if self._flow.terminal:
            self._end(self._flow.verdict(body_ended=False))
        self._end(self._flow.broken("truncated", "upstream_bad_response"))

    def _deliver(self, out: bytes, now: float) -> None:
        if not self.first_at:
            self.first_at = now
        self.bytes_out += len(out)
        self.sink.write(out, now)
        if self.sink.pending:
            self._block(now)

    def _hold(self, out: bytes) -> None:
        """What came with the terminal frame leaves with it, in one write."""
        if out:
            self.bytes_out += len(out)
            self.sink.hold(out)

    def _block(self, now: float) -> None:
        """The caller does not take all: the upstream is not read, the slow reader's time runs."""
        self.due = self._next_due(now)
        if self._waiter is not None:
            self.source.pause()

    def _next_due(self, now: float) -> float:
        bounds = self._bounds
        if self.sink.pending:
            return min(self.sink.taken_at + bounds.slow_reader_seconds_max, self._begun_at + bounds.total_seconds_max)
        due = min(self._read_at + bounds.idle_seconds_max, self._begun_at + bounds.total_seconds_max)
        return min(due, self.sink.wrote_at + bounds.heartbeat_seconds) if self._flow.ping else due

    def _watch(self) -> None:
        self._waiter = Waiter()
        self.sink.attend(self._sweep)
        self.source.watch(self._readable)
        self.due = self._next_due(time.monotonic())
        if self.sink.pending:
            self.sink.watch()
            self.source.pause()
        self._sweep.add(self)

    def _unwatch(self) -> None:
        """Before any descriptor closes: libev would go on with whoever gets its number next."""
        self.source.stop()
        self.sink.stop()
        self._sweep.discard(self)

    def _end(self, ending: Ending) -> None:
        """The first ending counts. Wakes the greenlet, which does all that may wait."""
        if self.ending is not None:
            return
        self.ending = ending
        self._unwatch()
        if self._waiter is not None:
            self._waiter.switch(None)
