"""A stream's way into a log: what is read from the upstream is kept, and followers take it from there."""

import time
from collections.abc import Callable
from typing import Protocol

import gevent

from relay.core.kept import Kept
from relay.pump.sweep import NEVER, Sweep

_FULL = b"full"


class Numbering(Protocol):
    """A flow that numbers what it hands out."""

    last_seq: int


class LogOutlet:
    """`pending`: something, while the slowest follower must take more before more can be kept.

    Nobody's departure ends it, and no slow reader: the log tells who is left, and followers have a time of their own.
    """

    __slots__ = ("_kept", "_numbering", "_on_drained", "pending", "taken_at", "wrote_at")

    def __init__(
        self, kept: Kept, numbering: Numbering, on_drained: Callable[[], None], on_gone: Callable[[], None]
    ) -> None:
        self._kept, self._numbering, self._on_drained = kept, numbering, on_drained
        self.pending = b""
        self.wrote_at, self.taken_at = time.monotonic(), NEVER

    def write(self, data: bytes, now: float) -> None:
        """Keep `data`, which ends with the last frame that the flow numbered."""
        self.wrote_at = now
        self._kept.append(data, self._numbering.last_seq)
        if self._kept.is_full:
            self.pending = _FULL
            self.watch()

    def hold(self, data: bytes) -> None:
        """Keep the last but one, which followers need not wait for."""
        self.write(data, time.monotonic())

    def watch(self) -> None:
        """Have it said when there is room."""
        self._kept.room = self._make_room

    def attend(self, sweep: Sweep) -> None:
        """There is no caller here who could leave."""

    def stop(self) -> None:
        """Nothing is watched any more."""
        self._kept.room = None

    def _make_room(self) -> None:
        """Whichever greenlet made it: reading on may end the stream, and only the loop may wake who waits for that."""
        self._kept.room = None
        gevent.get_hub().loop.run_callback(self._drained)

    def _drained(self) -> None:
        self.pending = b""
        self._on_drained()
