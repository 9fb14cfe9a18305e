"""A TCP proxy before Redis that a test slows down: what Redis sends is held back for a while, or for good."""

import math
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class SlowProxy:
    """`delay_seconds` may be changed at any time; infinitely many make every connection half-open."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._stopped = threading.Event()
        self.delay_seconds = 0.0
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Accept until stopped."""
        with suppress(OSError):
            while True:
                caller = self._listener.accept()[0]
                redis = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [caller, redis]
                threading.Thread(target=self._carry, args=(caller, redis, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(redis, caller, True), daemon=True).start()

    def stop(self) -> None:
        """Cut everything."""
        self._stopped.set()
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _carry(self, source: socket.socket, sink: socket.socket, slowly: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if slowly and self.delay_seconds:
                    self._stopped.wait(self.delay_seconds if math.isfinite(self.delay_seconds) else None)
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def before(port: int) -> Iterator[SlowProxy]:
    """A proxy before that port, until the block ends."""
    proxy = SlowProxy(port)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(5)
