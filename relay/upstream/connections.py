"""Connections to upstreams: a pool each, one deadline over DNS, TCP and TLS, and no stale connection used again."""

import ssl
import time
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import gevent
from certifi import where
from gevent.monkey import get_original
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from relay.core.targets import Target

# A connection that slept longer may have been dropped on the way without a word.
POOLED_SECONDS_MAX = 30.0


class ConnectDeadline(gevent.Timeout):  # type: ignore[misc]
    """DNS, TCP and TLS together took too long."""


class HandshakeFailed(Exception):
    """TCP stood, TLS did not."""


def open_pool(target: Target, connect_seconds_max: float, connections_max: int) -> tuple[Any, str]:
    """The upstream's connection pool, made by requests' adapter, and the path of its base URL."""
    adapter = HTTPAdapter(pool_maxsize=connections_max, max_retries=0)
    manager: Any = adapter.poolmanager
    manager.pool_classes_by_scheme = _pool_classes(connect_seconds_max)
    url = urlsplit(target.base_url)
    trust = {"ssl_context": _trusting(target.ca_file)} if url.scheme == "https" else {}
    return manager.connection_from_url(target.base_url, pool_kwargs=trust), url.path.rstrip("/")


def _trusting(ca_file: str) -> ssl.SSLContext:
    """One context for all connections: loading the authorities takes as long as a hundred requests."""
    return ssl.create_default_context(cafile=ca_file or where())


def _pool_classes(connect_seconds_max: float) -> dict[str, type]:
    """Pools whose connections know their deadline over DNS, TCP and TLS together, and their age."""

    class Plain(_Pooled, HTTPConnection):
        seconds_max = connect_seconds_max

    class Secure(_Pooled, HTTPSConnection):
        seconds_max = connect_seconds_max

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _Lines:
    """A reader of lines that remembers the last one."""

    def __init__(self, reader: Any) -> None:
        self.reader, self.last = reader, b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.reader.readline(limit)
        return self.last

    def close(self) -> None:
        self.reader.close()


class _WholeHead(HTTPResponse):
    """http.client takes the end of the connection for the end of the head; half a head must not be an answer."""

    def begin(self) -> None:
        lines = _Lines(self.fp)
        self.fp = lines  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            self.fp = lines.reader if self.fp is lines else self.fp  # type: ignore[comparison-overlap]
        if lines.last not in (b"\r\n", b"\n"):
            raise HTTPException("the head was cut")


class _Pooled:
    """What our connections add to urllib3's."""

    response_class: type[HTTPResponse] = _WholeHead
    seconds_max: float
    idle_since = 0.0
    sock: Any

    def connect(self) -> None:
        try:
            with ConnectDeadline(self.seconds_max):
                super().connect()  # type: ignore[misc]
        except (HTTPError, gevent.Timeout):
            raise
        except (OSError, ValueError) as error:  # the TCP connection's own errors are HTTPErrors
            raise HandshakeFailed from error

    @property
    def is_connected(self) -> bool:
        """Asked before a pooled connection is used again."""
        fresh = time.monotonic() - self.idle_since < POOLED_SECONDS_MAX
        return self.sock is not None and fresh and not _readable_now(self.sock)


def _readable_now(sock: Any) -> bool:
    """An idle connection that has something to read has been closed, or will confuse the next answer."""
    poll = get_original("select", "poll")()
    poll.register(sock.fileno(), 1)
    return bool(poll.poll(0))
