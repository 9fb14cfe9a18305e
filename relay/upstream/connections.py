"""Connections to upstreams: made by urllib3, under one deadline over DNS, TCP and TLS, and never used when stale."""

import time
from contextvars import ContextVar
from dataclasses import dataclass
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


_connecting: ContextVar[Connecting] = ContextVar("connecting")


class ConnectDeadline(gevent.Timeout):  # type: ignore[misc]
    """DNS, TCP and TLS together took too long."""


class HandshakeFailed(Exception):
    """TCP stood, TLS did not."""


def begin_connecting(seconds_max: float) -> Connecting:
    """From now on this greenlet's attempts to connect have `seconds_max` together."""
    connecting = Connecting(time.monotonic() + seconds_max)
    _connecting.set(connecting)
    return connecting


class _Pooled:
    """What our connections add to urllib3's."""

    idle_since = 0.0
    sock: Any

    def connect(self) -> None:
        connecting, begun_at = _connecting.get(), time.monotonic()
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
        return self.sock is not None and fresh and not _readable_now(self.sock)


class Plain(_Pooled, HTTPConnection):
    """To an http:// upstream."""


class Secure(_Pooled, HTTPSConnection):
    """To an https:// upstream."""


def _readable_now(sock: Any) -> bool:
    """An idle connection that has something to read has been closed, or will confuse the next answer."""
    poll = get_original("select", "poll")()
    poll.register(sock.fileno(), 1)
    return bool(poll.poll(0))
