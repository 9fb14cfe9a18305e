"""Callers that ask for a long stream and do not read it, or hardly."""

import contextlib
import select
import threading

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.crowd import Counting
from tests.live.bench.scripts import chat_frame, sse_head
from tests.live.bench.wire import chunk
from tests.live.cases import CHAT, STREAM

LONG = "long"
READ_BYTES = 10  # ten times a second


class Flooding(Counting):
    """The upstream's script: to those who ask for LONG frames of one size, as fast as they are taken."""

    def __init__(self, frame_bytes: int, total_bytes: int) -> None:
        super().__init__()
        self._piece = chunk(chat_frame("x" * frame_bytes))
        self._pieces = total_bytes // frame_bytes

    def _answer(self, conn: Connection, request: Request) -> None:
        if LONG.encode() not in request.body:
            return super()._answer(conn, request)
        conn.send(sse_head())
        for _ in range(self._pieces):
            conn.send(self._piece)
        return None


class Stalled:
    """A context manager that ends them all. Every second one reads a hundred bytes a second, the others none."""

    def __init__(self, port: int, key: str) -> None:
        self.callers: list[RawCaller] = []
        self._port, self._key = port, key
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read_on, daemon=True)

    def __enter__(self) -> "Stalled":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        for caller in self.callers:
            caller.close()

    def join(self, count: int) -> list[RawCaller]:
        """So many more ask, and wait for nothing."""
        asking = [RawCaller(self._port, key=self._key, receive_buffer_bytes=1) for _ in range(count)]
        for caller in asking:
            caller.post(CHAT, {**STREAM, "model": LONG})
        self.callers += asking
        return asking

    def _read_on(self) -> None:
        while not self._over.wait(0.1):
            for caller in self.callers[::2]:
                if select.select([caller.sock], [], [], 0)[0]:
                    with contextlib.suppress(OSError):
                        caller.sock.recv(READ_BYTES)
