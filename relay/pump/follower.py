"""A log on its way to one caller: replays from a number on, then follows as it grows. All on the event loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import gevent
from gevent.hub import Waiter

from relay.core.frame_log import Evicted
from relay.core.kept import Kept
from relay.pump.departure import CallerGone
from relay.pump.sink import Sink
from relay.pump.sweep import NEVER, Sweep
from relay.pump.takeover import Wire

# What one follower writes before the others have their turn.
WRITE_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: how long a follower that takes nothing is kept, and how often a silent log shows that it lives, by
    `ping`, or not at all.
    """

    slow_reader_seconds_max: float
    heartbeat_seconds: float
    ping: bytes


def guarded(callback: "Callable[[Follower], None]") -> "Callable[[Follower], None]":
    """End the follower, whatever its callback raised: neither the log nor the loop may suffer."""

    @wraps(callback)
    def call(self: "Follower") -> None:
        try:
            callback(self)
        except BaseException as error:
            self.fail(error)

    return call


class Follower:
    """`cursor`: the number of the last frame that its socket, or the bytes pending for it, holds.

    `end`: None while it lives, then done, client_gone, client_slow, drained, or truncated where frames it still needed
    are not kept any more.
    """

    __slots__ = (
        "__weakref__", "_kept", "_patience", "_sweep", "_waiter",
        "bytes_out", "cursor", "due", "end", "failure", "first_at", "sink",
    )  # fmt: skip

    def __init__(self, kept: Kept, after: int, wire: Wire, sweep: Sweep, patience: Patience) -> None:
        self._kept, self._sweep, self._patience = kept, sweep, patience
        self.cursor = after
        self.sink = Sink(wire, self.advance, self._gone)
        self._waiter: Any = None
        self.end: str | None = None
        self.failure: BaseException | None = None
        self.bytes_out, self.first_at = 0, 0.0
        self.due = self._next_due()

    def run(self) -> str:
        """Follow to the end; the greenlet sleeps meanwhile. No watcher is left behind, also when it is killed."""
        self._kept.join(self)
        try:
            self.advance()
            if self.end is None:
                self._waiter = Waiter()
                self.sink.attend(self._sweep)
                if self.sink.pending:
                    self.sink.watch()
                self._sweep.add(self)
                self._waiter.get()
        finally:
            self._stop()
            self._kept.leave(self)
        assert self.end is not None
        return self.end

    def drop(self, end: str) -> None:
        """End it from another greenlet."""
        gevent.get_hub().loop.run_callback(self._finish, end)

    @property
    def will_be_told(self) -> bool:
        """Whether its log is about to say how it ended, because its producer in this process was told to end."""
        return self._kept.is_ours and self._kept.outcome is None

    @guarded
    def advance(self) -> None:
        """Take what the log has, as far as the socket does."""
        now, before = time.monotonic(), self.cursor
        while self.end is None and not self.sink.pending:
            data, self.cursor = self._kept.log.read(self.cursor, WRITE_BYTES_MAX)
            if not data:
                break
            self.first_at = self.first_at or now
            self.bytes_out += len(data)
            self.sink.write(data, now)
        if self._kept.outcome is not None and not self.sink.pending and self.cursor >= self._kept.log.last_seq:
            self._finish("done")
        self.due = self._next_due()
        if self.cursor > before and self._kept.room is not None:
            self._kept.taken()

    @guarded
    def _gone(self) -> None:
        raise CallerGone

    def on_due(self, now: float) -> None:
        if self.sink.pending:
            if now - self.sink.taken_at >= self._patience.slow_reader_seconds_max:
                self._finish("client_slow")
        elif self._patience.ping and now - self.sink.wrote_at >= self._patience.heartbeat_seconds:
            self._beat(now)
        self.due = self._next_due()

    def fail(self, error: BaseException) -> None:
        """Say whose fault it was."""
        if isinstance(error, CallerGone):
            self._finish("client_gone")
            return
        if not isinstance(error, Evicted):
            self.failure = error
        self._finish("truncated")

    def _beat(self, now: float) -> None:
        try:
            self.sink.write(self._patience.ping, now)
        except CallerGone as gone:
            self.fail(gone)

    def _next_due(self) -> float:
        if self.sink.pending:
            return self.sink.taken_at + self._patience.slow_reader_seconds_max
        return self.sink.wrote_at + self._patience.heartbeat_seconds if self._patience.ping else NEVER

    def _stop(self) -> None:
        """Before the descriptor closes: libev would go on with whoever gets its number next."""
        self.sink.stop()
        self._sweep.discard(self)

    def _finish(self, end: str) -> None:
        """The first end counts. Wakes the greenlet, which does all that may wait."""
        if self.end is not None:
            return
        self.end = end
        self._stop()
        if self._waiter is not None:
            # not switched to at once: the log may have been ended by a greenlet, and only the loop may wake a waiter
            gevent.get_hub().loop.run_callback(self._waiter.switch, None)
