"""A crowd of live streams whose frames are numbered: in the end each is whole, or was told why it is not."""

import contextlib
import itertools
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, chat_completion, chat_frame, every_request, json_answer, sse_head
from tests.live.bench.wire import LAST_CHUNK, chunk, without_pings
from tests.live.cases import CHAT, STREAM, error_code

# What a stream does is said by the model that it asks for.
FINISHES, STAYS, NEVER_BEGINS = "gpt-test", "stays", "never-begins"
STOP = chat_frame("", "stop")


class Counting:
    """The upstream's script: numbered frames to each stream; those that FINISHES do so once they are released."""

    def __init__(self, pause_seconds: float = 0.25) -> None:
        self._pause_seconds = pause_seconds
        self._released = threading.Event()

    def __call__(self, conn: Connection) -> None:
        every_request(self._answer)(conn)

    def release(self) -> None:
        self._released.set()

    def _answer(self, conn: Connection, request: Request) -> None:
        if b'"stream"' not in request.body:
            return conn.send(json_answer(chat_completion("Hello")))
        model = request.json()["model"]  # type: ignore[index]
        if model == NEVER_BEGINS:
            conn.stall(60)
        self._count(conn, model == STAYS)
        conn.send(chunk(STOP) + chunk(DONE) + LAST_CHUNK)
        return None

    def _count(self, conn: Connection, for_ever: bool) -> None:
        conn.send(sse_head())
        for number in itertools.count():
            conn.send(chunk(numbered(number)))
            if self._released.is_set() and not for_ever:
                return
            conn.stall(self._pause_seconds)


class Crowd(contextlib.ExitStack):
    """Callers with a stream each; a context manager that ends them all."""

    def __init__(self, port: int, key: str) -> None:
        super().__init__()
        self._port, self._key = port, key

    def ask(self, count: int, model: str = FINISHES) -> list[RawCaller]:
        """Ask for so many streams, and wait for nothing."""
        callers = [self.enter_context(RawCaller(self._port, key=self._key)) for _ in range(count)]
        for caller in callers:
            caller.post(CHAT, {**STREAM, "model": model})
        return callers

    def join(self, count: int, model: str = FINISHES) -> list[RawCaller]:
        """So many streams, each with its first frame read."""
        callers = self.ask(count, model)
        for caller in callers:
            head = caller.read_answer_head(30)
            assert head.status == 200, (head.status, caller.read_all())
            caller.read_until(numbered(0), 30)
        return callers


def numbered(number: int) -> bytes:
    return chat_frame(f"frame {number}")


def outcomes(callers: Iterable[RawCaller], timeout_seconds: float = 20.0) -> dict[str, int]:
    """How often streams ended in which way."""
    return dict(Counter(outcome(caller, timeout_seconds) for caller in callers))


def outcome(caller: RawCaller, timeout_seconds: float = 20.0) -> str:
    """ "whole", the code that the stream was ended with, or what is wrong with it."""
    frames = without_pings(caller.frames(timeout_seconds))
    torn = caller.read_all(timeout_seconds)
    counted = sum(1 for _ in itertools.takewhile(lambda at: at[1] == numbered(at[0]), enumerate(frames, 1)))
    rest = frames[counted:]
    if torn or (not rest and not caller.ended_cleanly):
        return "cut without a word"
    if caller.ended_cleanly:
        return "whole" if rest == [STOP, DONE] else "taken for whole"
    return error_code(rest[0]) if len(rest) == 1 and b'"error"' in rest[0] else "out of order"


def told(relay: RelayProcess, path: str = CHAT) -> dict[str, int]:
    """How many log lines there are of requests that ended in which way."""
    return dict(Counter(str(line["end"]) for line in relay.log_lines() if line["route"] == path))


def entered(database: Path, path: str = CHAT) -> dict[str, int]:
    """The same in the ledger."""
    query = "SELECT end, count(*) FROM usage WHERE route = ? GROUP BY end"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute(query, [path]).fetchall())


def is_intact(database: Path) -> bool:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
