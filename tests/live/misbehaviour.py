"""What an upstream may do wrong, as scripts, and what it may cost the relay."""

import contextlib
import itertools
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import Script, chat_completion

BODY = json.dumps(chat_completion("Hello world")).encode()
MEGABYTE = 2**20


def ok(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = BODY) -> bytes:
    """An answer with these header lines before its own."""
    own = (b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    return b"\r\n".join([status, *lines, *own, b"", body])


def once(raw: bytes) -> Script:
    """Say this to one request and that it was all; the connection stays until the peer has left."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(raw)
        say_no_more(conn)
        conn.wait_closed(10)

    return script


def say_no_more(conn: Connection) -> None:
    """Send FIN, unless the peer has reset the connection meanwhile."""
    with contextlib.suppress(OSError):
        conn.finish()


def ending(said: bytes) -> Script:
    """Say this and close the connection."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(said)

    return script


def stalling(said: bytes = b"") -> Script:
    """Say this and then nothing."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(said)
        conn.stall(30)

    return script


def dripping(said: bytes, interval_seconds: float) -> Script:
    """Say this, slowly."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.drip(said, interval_seconds)

    return script


def forever(said: bytes, again: bytes) -> Script:
    """Say this, and then `again` without end, as fast as it is taken."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(said + again)
        for _ in itertools.repeat(None, 4096):  # 256 MiB
            conn.send(again * (65536 // len(again)))

    return script


class Held:
    """Say `first` to each request and, once `now` is set, `then`; `leave`: how the connection ends behind it."""

    def __init__(
        self, then: bytes = b"", *, first: bytes = b"", leave: Callable[[Connection], None] | None = None
    ) -> None:
        self.first, self.then, self.leave = first, then, leave
        self.now = threading.Event()

    def __call__(self, conn: Connection) -> None:
        while True:
            conn.read_request()
            conn.send(self.first)
            while not self.now.wait(0.02):
                conn.stall(0)
            conn.send(self.then)
            if self.leave is not None:
                return self.leave(conn)


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that these processes have used so far, in user and kernel mode (proc(5), `stat`)."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pids: list[int]) -> int:
    """Memory that these processes hold now (proc(5), `statm`)."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")
