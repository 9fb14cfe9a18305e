"""The connections to one upstream that are at hand, made by requests' adapter and kept by us."""

import ssl
from queue import Empty, Full
from typing import Any
from urllib.parse import urlsplit

from certifi import where
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

from relay.core.targets import Target
from relay.upstream.connections import Plain, Secure


class AtHand:
    """Idle connections, the one that was used last first: what urllib3 wants of a queue, without locks, because
    nothing here switches to another greenlet. `is_retired`: whatever comes back is closed.
    """

    def __init__(self, maxsize: int) -> None:
        self._connections_max = maxsize
        self.connections: list[Any] = []
        self.is_retired = False

    def put(self, connection: Any, block: bool = False) -> None:
        """Raises queue.Full, upon which urllib3 closes the connection."""
        if connection is None:  # urllib3 counts with placeholders
            return
        if self.is_retired or len(self.connections) >= self._connections_max:
            raise Full
        self.connections.append(connection)

    def get(self, block: bool = False, timeout: float | None = None) -> Any:
        """Raises queue.Empty, upon which urllib3 makes a new connection."""
        if not self.connections:
            raise Empty
        return self.connections.pop()

    def qsize(self) -> int:
        return len(self.connections)

    def drop_stale(self) -> None:
        """Close what has slept for too long, or was closed by its upstream."""
        before, self.connections = self.connections, []
        for connection in before:
            if connection.is_connected:
                self.connections.append(connection)
            else:
                connection.close()

    def retire(self) -> None:
        """Close all that is at hand now, and from now on."""
        self.is_retired = True
        while self.connections:
            self.connections.pop().close()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = Plain
    QueueCls: Any = AtHand


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = Secure
    QueueCls: Any = AtHand


class Pool:
    """One upstream's connections. `path`: its base URL's, without a last slash."""

    def __init__(self, target: Target, connections_max: int) -> None:
        manager: Any = HTTPAdapter(pool_maxsize=connections_max, max_retries=0).poolmanager
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
        url = urlsplit(target.base_url)
        trust = {"ssl_context": _trusting(target.ca_file)} if url.scheme == "https" else {}
        self.path = url.path.rstrip("/")
        self.connections: Any = manager.connection_from_url(target.base_url, pool_kwargs=trust)

    @property
    def at_hand(self) -> AtHand:
        return self.connections.pool  # type: ignore[no-any-return]


def _trusting(ca_file: str) -> ssl.SSLContext:
    """One context for all connections: loading the authorities takes as long as a hundred requests."""
    return ssl.create_default_context(cafile=ca_file or where())
