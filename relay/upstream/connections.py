"""Connections to upstreams: made by urllib3, under one deadline over DNS, TCP and TLS, and never used when stale."""

import time
from dataclasses import dataclass
from select import POLLIN
from typing import Any

import gevent
from gevent.monkey import get_original
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

# A connection that slept longer may have been dropped on the way without a word.
POOLED_SECONDS_MAX = 30.0


@dataclass(slots=True)
class Connecting:
    """A request's attempts to connect. `until`: when they must be over; `spent_seconds`: None while a connection was at
    hand.
    """

    until: float
    spent_seconds: float | None = None


class ConnectDeadline(gevent.Timeout):  # type: ignore[misc]
    """DNS, TCP and TLS together took too long."""


class HandshakeFailed(Exception):
    """TCP stood, TLS did not."""


class _Pooled:
    """What our connections add to urllib3's. `connecting`: set before each request by whoever makes it."""

    connecting: Connecting
    idle_since = 0.0
    sock: Any
    _poll: Any = None

    def connect(self) -> None:
        connecting, begun_at, self._poll = self.connecting, time.monotonic(), None
        try:
            with ConnectDeadline(max(0.001, connecting.until - begun_at)):
                super().connect()  # type: ignore[misc]
        except (HTTPError, gevent.Timeout):
            raise
        except (OSError, ValueError) as error:  # the TCP connection's own errors are HTTPErrors
            raise HandshakeFailed from error
        finally:
            connecting.spent_seconds = (connecting.spent_seconds or 0.0) + time.monotonic() - begun_at

    @property
    def is_usable(self) -> bool:
        """Whether a connection that slept may carry another request."""
        fresh = time.monotonic() - self.idle_since < POOLED_SECONDS_MAX
        return self.sock is not None and fresh and not self._is_readable()

    def _is_readable(self) -> bool:
        """An idle connection that has something to read has been closed, or will confuse the next answer."""
        if self._poll is None:  # asks the kernel; kept, as the socket stays the same
            self._poll = get_original("select", "poll")()
            self._poll.register(self.sock.fileno(), POLLIN)
        return bool(self._poll.poll(0))


class Plain(_Pooled, HTTPConnection):
    """To an http:// upstream."""


class Secure(_Pooled, HTTPSConnection):
    """To an https:// upstream."""
