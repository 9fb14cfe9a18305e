"""The callers' connections of one worker: which are busy, which only wait, how many there may be, and how they end."""

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from select import POLLIN
from socket import SHUT_RDWR
from typing import Any

from gevent.monkey import get_original

from relay.connections.thrift import spare
from relay.connections.unread import read_away, read_away_until_closed

# Connections that the relay keeps for health checks and refusals: beyond the worker's own bound nobody is accepted.
RESERVE = 64
# A connection that was accepted this moment has a request on its way.
IDLE_SECONDS_MIN = 1.0


class Connections:
    """`busy`: those with a request on them; `idle`: those without, and since when, the longest first."""

    def __init__(self, connections_max: int) -> None:
        self._admitted_max = connections_max - RESERVE
        self.busy: set[Any] = set()
        self.idle: OrderedDict[Any, float] = OrderedDict()
        self._leaving: set[Any] = set()  # of the idle: those that were answered, and whose request is still coming

    @property
    def is_full(self) -> bool:
        """Whether only the reserve is left."""
        return len(self.busy) + len(self.idle) > self._admitted_max

    def attach(self, worker: Any) -> None:
        """See the connections of gunicorn's worker come and go."""
        spare(worker.cfg)
        worker.handle = self._seen(worker.handle)
        worker.handle_request = self._occupied(worker.handle_request)
        worker.handle_error = self._heard(worker.handle_error)

    def end_idle(self) -> None:
        """End all that have no request on them."""
        for client in list(self.idle):
            if client in self._leaving or not _has_news(client):
                _shut(client)

    def make_room(self) -> None:
        """Where only the reserve is left, end what has waited longest, as nginx does.

        Wants to be called now and then: where all places are taken nobody is accepted, and so nobody makes room.
        """
        begun_before = time.monotonic() - IDLE_SECONDS_MIN
        while self.is_full and self.idle and next(iter(self.idle.values())) <= begun_before:
            client, _ = self.idle.popitem(last=False)
            if _has_news(client):  # its request has come: as young as one that was accepted this moment
                self.idle[client] = time.monotonic()
            else:
                _shut(client)

    def _seen(self, handle: Callable[..., None]) -> Callable[..., None]:
        @wraps(handle)
        def handle_connection(listener: Any, client: Any, address: Any) -> None:
            self.idle[client] = time.monotonic()
            self.make_room()
            try:
                handle(listener, client, address)
            finally:
                self.idle.pop(client, None)

        return handle_connection

    def _occupied(self, handle_request: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(handle_request)
        def handle_one(listener_name: Any, request: Any, client: Any, address: Any) -> Any:
            self.idle.pop(client, None)
            self.busy.add(client)
            is_over = False
            try:
                handle_request(listener_name, request, client, address)
            except StopIteration:
                is_over = True
            finally:
                self.busy.discard(client)
                self.idle[client] = time.monotonic()
            if self._read_away(request.body, client, is_over) or is_over:
                raise StopIteration  # ends gunicorn's work on the connection

        return handle_one

    def _read_away(self, body: Any, client: Any, is_over: bool) -> bool:
        self._leaving.add(client)
        try:
            return read_away(body, client, is_over)
        finally:
            self._leaving.discard(client)

    def _heard(self, handle_error: Callable[..., None]) -> Callable[..., None]:
        """gunicorn's own refusals of what it cannot parse reach their caller too."""

        @wraps(handle_error)
        def handle_one_error(request: Any, client: Any, address: Any, error: Any) -> None:
            handle_error(request, client, address, error)
            read_away_until_closed(client)

        return handle_one_error


def _has_news(client: Any) -> bool:
    """Whether something to read is there already: a request that would be begun, and paid, with nobody to answer."""
    if client.fileno() < 0:
        return False
    poll = get_original("select", "poll")()
    poll.register(client.fileno(), POLLIN)
    return any(event == POLLIN for _, event in poll.poll(0))


def _shut(client: Any) -> None:
    """Below gevent, whose own shutdown() would raise into who waits there, and gunicorn would log an error for it."""
    with suppress(OSError):
        client._sock.shutdown(SHUT_RDWR)
