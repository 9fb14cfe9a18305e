"""The scripted upstream: a raw-socket server that says what a script says and remembers every byte that it was told."""

import socket
import ssl
import threading
import time
from collections.abc import Callable

from tests.live.bench.conversation import SEND_SECONDS_MAX, Connection, PeerGone, Record, Request, Superseded
from tests.live.bench.scripts import Script, polite


class ScriptedUpstream:
    """Runs the current script for each connection in a thread; when the script returns, the connection is closed.

    `answer` swaps the script: new connections get it at once, kept-alive ones with their next request.
    An exception in a script, other than its peer's leaving, is kept in `errors`; `check` raises it.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.record = Record()
        self.accepted = 0
        self.errors: list[BaseException] = []
        self.handshake_failures: list[OSError] = []
        self._script: Script = polite
        self._tls = tls
        self._connections: dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def start(self) -> "ScriptedUpstream":
        self._acceptor.start()
        return self

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(5)
        self._listener.close()
        self.hang_up()

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> list[Request]:
        return self.record.requests

    @property
    def received(self) -> bytes:
        """Every byte received, in order of arrival, decrypted."""
        return bytes(self.record.received)

    @property
    def peer_closes(self) -> list[float]:
        """When peers left in the middle of something (time.monotonic()), seen while a script reads, sends or waits."""
        return self.record.peer_closes

    @property
    def open(self) -> int:
        """Connections that neither side's end has been seen of."""
        return len(self._connections)

    @property
    def busy(self) -> int:
        """Open connections that are not merely kept alive between two requests."""
        with self._lock:
            return sum(not connection.idle for connection in self._connections)

    def answer(self, script: Script) -> None:
        self._script = script
        with self._lock:
            for connection in self._connections:
                connection.superseded.set()

    def wait_for_requests(self, count: int = 1, timeout_seconds: float = 5.0) -> list[Request]:
        self._wait(lambda: len(self.requests) >= count, timeout_seconds, f"{count} requests")
        return self.requests

    def wait_for_peer_close(self, count: int = 1, timeout_seconds: float = 5.0) -> float:
        """The time at which the `count`th peer was seen to leave."""
        self._wait(lambda: len(self.peer_closes) >= count, timeout_seconds, f"{count} closes by the peer")
        return self.peer_closes[count - 1]

    def hang_up(self, timeout_seconds: float = 5.0) -> None:
        """Close every connection, and wait until their scripts have ended."""
        with self._lock:
            running = list(self._connections.items())
        for connection, _ in running:
            connection.hang_up()
        deadline = time.monotonic() + timeout_seconds
        for _, thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))

    def forget(self) -> None:
        """Clear the record and go back to the polite script; errors stay until `check`."""
        self.record.clear()
        self.accepted = 0
        self.answer(polite)

    def check(self) -> None:
        """Raise what went wrong inside a script, once."""
        errors, self.errors = self.errors, []
        if errors:
            raise AssertionError(f"{len(errors)} script(s) of the upstream failed") from errors[0]

    def _wait(self, condition: Callable[[], bool], timeout_seconds: float, what: str) -> None:
        with self.record.changed:
            if not self.record.changed.wait_for(condition, timeout_seconds):
                raise AssertionError(
                    f"no {what} within {timeout_seconds} s; "
                    f"seen {len(self.requests)} requests, {len(self.peer_closes)} closes, {self.accepted} connections"
                )

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(SEND_SECONDS_MAX)  # for the handshake; a connection sets its own
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            connection = Connection(sock, self.record)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._connections[connection] = thread
                thread.start()  # under the lock: who finds the thread may join it

    def _serve(self, connection: Connection) -> None:
        try:
            self._shake_hands(connection)
            self._converse(connection)
        except PeerGone:
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            connection.close()
            with self._lock:
                self._connections.pop(connection, None)

    def _shake_hands(self, connection: Connection) -> None:
        if self._tls is None:
            return
        try:
            connection.sock = self._tls.wrap_socket(connection.sock, server_side=True)
        except OSError as error:
            self.handshake_failures.append(error)
            raise PeerGone from error

    def _converse(self, connection: Connection) -> None:
        while True:
            connection.superseded.clear()
            try:
                return self._script(connection)
            except Superseded:
                continue
