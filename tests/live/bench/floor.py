"""How many requests are live at the upstream at once, counted there."""

import contextlib
import select
import threading
import time
from collections.abc import Iterator

from tests.live.bench.conversation import GONE, Connection


class Floor:
    """A request is live while its script is `on` the floor and its peer has not left: a relay that has closed a
    connection no longer uses it, whenever this side's thread comes to notice.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._lock = threading.Lock()
        self._on: set[Connection] = set()
        self._arrivals: list[float] = []

    @contextlib.contextmanager
    def on(self, conn: Connection) -> Iterator[None]:
        """Count this request until the block ends, which must be before its last byte is sent."""
        with self._lock:
            self._on.add(conn)
            self._arrivals.append(time.monotonic())
            self.peak = max(self.peak, len(self._live()))
        try:
            yield
        finally:
            with self._lock:
                self._on.discard(conn)

    @property
    def live(self) -> int:
        with self._lock:
            return len(self._live())

    @property
    def arrived(self) -> int:
        """How many requests there were, all in all."""
        return len(self._arrivals)

    def peer_ports(self) -> set[int]:
        """The relay's ends of the live connections."""
        with self._lock:
            return {conn.sock.getpeername()[1] for conn in self._live()}

    def _live(self) -> list[Connection]:
        return [conn for conn in self._on if not _has_left(conn)]


def _has_left(conn: Connection) -> bool:
    poller = select.poll()
    poller.register(conn.sock, GONE)
    return bool(poller.poll(0))
