"""From SIGTERM to the last byte, and SIGHUP: how a worker ends, and how it reads its configuration again.

Draining: first only readiness says so, while load balancers look away; then the listener closes, idle connections are
ended, and streams may finish; what is left at the end is told so in its stream. Nothing is cut without a word. Streams
that are made for callers who may come back have no connection, and are waited for all the same.
"""

import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import gevent

LOOK_SECONDS = 0.1
# What was told to end behind the drain needs a moment to be accounted for; gunicorn's own deadline comes later.
LAST_SECONDS_MAX = 2.0


class Streams(Protocol):
    """What can be told to end."""

    def drain(self) -> None: ...


class Connections(Protocol):
    """The worker's connections."""

    def end_idle(self) -> None: ...


class Lifecycle:
    """One per worker. `draining`: SIGTERM came. `closed`: the listener is closing. `is_making`: whether something is
    made without a connection that waits for it.
    """

    def __init__(
        self,
        streams: Streams,
        connections: Connections,
        lame_duck_seconds: float,
        drain_seconds: float,
        reload: Callable[[], None],
    ) -> None:
        self._streams, self._connections, self._reload = streams, connections, reload
        self.is_making: Callable[[], bool] = lambda: False
        self._lame_duck_seconds, self._drain_seconds = lame_duck_seconds, drain_seconds
        self.draining = self.closed = False
        self._drained_at = 0.0

    def attach(self, worker: Any) -> None:
        """Take over gunicorn's worker's handlers of SIGTERM and SIGHUP, and its leaving."""
        worker.run = partial(self._run, worker, worker.run)
        signal.signal(signal.SIGTERM, lambda *_: self._on_loop(lambda: self._drain(worker)))
        signal.signal(signal.SIGHUP, lambda *_: self._on_loop(self._reload))

    def _on_loop(self, work: Callable[[], None]) -> None:
        """A signal handler runs between any two instructions: it only leaves word."""
        gevent.get_hub().loop.run_callback_threadsafe(gevent.spawn, work)

    def _drain(self, worker: Any) -> None:
        if self.draining:
            return
        self._drained_at = time.monotonic() + self._lame_duck_seconds + self._drain_seconds
        self.draining = True
        gevent.sleep(self._lame_duck_seconds)
        self.closed = True
        worker.alive = False  # its loop closes the listener within a second, and leaves once no connection is left
        self._until(self._drained_at)
        self._streams.drain()
        self._until(float("inf"))

    def _run(self, worker: Any, run: Callable[[], None]) -> None:
        """gunicorn's worker leaves once no connection is left; what has none may finish too."""
        run()
        while self.is_making() and time.monotonic() < self._drained_at + LAST_SECONDS_MAX:
            worker.notify()
            gevent.sleep(LOOK_SECONDS)

    def _until(self, deadline: float) -> None:
        """Wait for the last request, ending connections as they become idle."""
        while time.monotonic() < deadline:
            self._connections.end_idle()
            gevent.sleep(LOOK_SECONDS)
