"""The demo upstream as a server on gevent; it patches nothing and runs inside the relay's worker or alone."""

from socket import AF_INET, AF_INET6, create_server
from types import TracebackType
from typing import Self

from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket

from relay.demo.connection import Connection
from relay.demo.tally import Tally

CONNECTIONS_MAX = 1_024


class DemoUpstream:
    """A keyless OpenAI-compatible server. Port 0 takes a free one; callers beyond `connections_max` wait."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self._host = host
        self._port = port
        self._connections_max = connections_max
        self._tally = Tally()
        self._server: StreamServer | None = None

    def start(self) -> None:
        """Listen and serve in the background, once. Raises OSError where the address is taken."""
        family = AF_INET6 if ":" in self._host else AF_INET
        listener = create_server((self._host, self._port), family=family, backlog=self._connections_max)
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        self._server = StreamServer(listener, self._serve, spawn=Pool(self._connections_max))
        self._server.start()

    def stop(self) -> None:
        """Close the listener and every connection; returns when all are closed. Idempotent."""
        server, self._server = self._server, None
        if server:
            server.stop(timeout=0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port that it listens on; where 0 was asked for, known after `start`."""
        return self._port

    @property
    def base_url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/v1"

    @property
    def requests(self) -> int:
        return self._tally.requests

    @property
    def active(self) -> int:
        """Generations running now."""
        return self._tally.active

    @property
    def cancelled(self) -> int:
        """Generations that stopped because their caller left."""
        return self._tally.cancelled

    def _serve(self, sock: socket, _address: object) -> None:
        Connection(sock, self._tally).serve()
