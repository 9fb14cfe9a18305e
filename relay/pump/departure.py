"""Sees that a caller has left: end of stream or reset on its socket, also a half-close, also while nothing is sent."""

import select
from collections.abc import Callable
from typing import Any

import gevent
from gevent.monkey import get_original

from relay.pump.sweep import Sweep

POLL_SECONDS = 0.5
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL
_READ = 1


class CallerGone(BaseException):
    """The caller left. Not an Exception: no library on the way may take it for a failure of its own."""

    end = "client_gone"


class CallerSlow(CallerGone):
    """The caller is there but takes nothing, for too long."""

    end = "client_slow"


def has_left(descriptor: int) -> bool:
    """Whether the peer of this socket closed or reset it; asks the kernel, reads nothing."""
    poll = get_original("select", "poll")()
    poll.register(descriptor, select.POLLRDHUP)
    return any(event & _GONE for _, event in poll.poll(0))


def was_reset(sock: Any) -> bool:
    """Whether an end that TLS reported was a reset: the connection is over in both directions, and we ended neither."""
    poll = get_original("select", "poll")()
    poll.register(sock.fileno(), 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


class Departure:
    """Calls `on_gone` once, from the loop, when the caller leaves."""

    __slots__ = ("__weakref__", "_descriptor", "_io", "_on_gone", "_sweep", "due")

    def __init__(self, descriptor: int, sweep: Sweep, on_gone: Callable[[], None]) -> None:
        self._descriptor, self._sweep, self._on_gone = descriptor, sweep, on_gone
        self.due = 0.0
        self._io = gevent.get_hub().loop.io(descriptor, _READ)
        self._io.start(self._readable)

    def stop(self) -> None:
        """Stop watching, before the descriptor may be closed. Idempotent."""
        if self._io is not None:
            self._io.stop()
            self._io.close()
            self._io = None
            self._sweep.discard(self)

    def _readable(self) -> None:
        if not self._told():
            # The next request is waiting there already: the event would fire for ever. Look now and then instead.
            self._io.stop()
            self._sweep.add(self)

    def on_due(self, now: float) -> None:
        self.due = now + POLL_SECONDS
        self._told()

    def _told(self) -> bool:
        if not has_left(self._descriptor):
            return False
        self.stop()
        self._on_gone()
        return True
