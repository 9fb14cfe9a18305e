"""The connections to one upstream: those at hand, the one that was used last first, and new ones."""

import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from certifi import where

from relay.core.targets import Target
from relay.upstream.connections import Plain, Secure


class Pool:
    """No locks: nothing here switches to another greenlet. `at_hand`: idle connections, the last used last.

    `path`: the base URL's, without a last slash; `host`: as the Host header has it.
    """

    def __init__(self, target: Target, connections_max: int) -> None:
        url = urlsplit(target.base_url)
        self.path, self.host = url.path.rstrip("/"), url.netloc
        self._address = {"host": url.hostname or "", "port": url.port, "timeout": None}
        self._context = _trusting(target.ca_file) if url.scheme == "https" else None
        self._connections_max = connections_max
        self.at_hand: list[Any] = []
        self.is_retired = False

    def take(self) -> Any:
        """Return a connection that works as far as can be known, or one that is still to be connected."""
        while self.at_hand:
            connection = self.at_hand.pop()
            if connection.is_usable:
                return connection
            connection.close()
        address: Any = self._address
        return Plain(**address) if self._context is None else Secure(**address, ssl_context=self._context)

    def put(self, connection: Any) -> None:
        """Take back a connection whose answer ended exactly."""
        if self.is_retired or len(self.at_hand) >= self._connections_max:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self.at_hand.append(connection)

    def drop_stale(self) -> None:
        """Close what would not be used again."""
        before, self.at_hand = self.at_hand, []
        for connection in before:
            if connection.is_usable:
                self.at_hand.append(connection)
            else:
                connection.close()

    def retire(self) -> None:
        """Close all that is at hand now, and what comes back later."""
        self.is_retired = True
        while self.at_hand:
            self.at_hand.pop().close()


def _trusting(ca_file: str) -> ssl.SSLContext:
    """One context for all connections: loading the authorities takes as long as a hundred requests."""
    return ssl.create_default_context(cafile=ca_file or where())
