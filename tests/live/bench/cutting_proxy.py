"""A way to a server on which connections break: each after so many bytes of what the server says."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

READ_SECONDS = 0.01  # else Chromium forgets what a page has not read yet, and nothing ever gets on


class CuttingProxy:
    """`cuts`: bytes after which the next connection breaks; when there are no more, connections last.

    `broken`: how many have.
    """

    def __init__(self, port: int, cuts: Iterator[int]) -> None:
        self.broken = 0
        self._target, self._cuts = port, cuts
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        for sock in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for sock in [self._listener, *self._sockets]:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target), 5)
            self._sockets += [caller, server]
            for work in (self._carry_on, self._cut_off):
                self._threads.append(threading.Thread(target=work, args=(caller, server), daemon=True))
                self._threads[-1].start()

    def _carry_on(self, caller: socket.socket, server: socket.socket) -> None:
        """What the caller says, as long as it says something."""
        with contextlib.suppress(OSError):
            while data := caller.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _cut_off(self, caller: socket.socket, server: socket.socket) -> None:
        left = next(self._cuts, None)
        with contextlib.suppress(OSError):
            while (left is None or left > 0) and (data := server.recv(65536 if left is None else min(left, 65536))):
                caller.sendall(data)
                left = None if left is None else left - len(data)
            if left == 0:
                self.broken += 1
                time.sleep(READ_SECONDS)
            caller.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
