"""Departures as cases: the ways to leave, the moments to do it, and what must be true right after."""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import Script, chat_stream, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import chunk
from tests.live.cases import (
    CHAT,
    ONE,
    STREAM,
    Owed,
    assert_within,
    endless,
    held,
    in_silence,
    saying,
    stream,
)

NOTICED_SECONDS_MAX = 1.0
SEED = 20_260_101
WHOLE = b"".join(chat_stream("Hello"))
LEAVING = {"FIN": RawCaller.close, "RST": RawCaller.reset, "half-close": RawCaller.half_close}
Leave = Callable[[RawCaller], None]


def before_the_head(conn: Connection) -> None:
    conn.read_request()
    held(conn)


def while_talking(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    endless(conn, ONE)


def in_a_flood(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    endless(conn, b"data: " + b"x" * 100_000 + b"\n\n", 0)


def in_silent_json(conn: Connection) -> None:
    conn.read_request()
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + ONE)
    held(conn)


MOMENTS = {"before the head": before_the_head, "while talking": while_talking, "in silence": in_silence}


@dataclass(frozen=True)
class Scene:
    """A relay, its upstream, and a key with one slot."""

    relay: RelayProcess
    upstream: ScriptedUpstream
    key: str
    owed: Owed

    def connect(self, port: int = 0) -> RawCaller:
        return RawCaller(port or self.relay.port, key=self.key)

    def after(self, requests: int) -> "Scene":
        """The same for what comes after the first requests of this test."""
        self.owed.line(requests - 1)
        return replace(self, owed=Owed(self.relay, self.owed.lines_before + requests))

    def is_quiet(self) -> bool:
        return self.upstream.busy == 0 and self.relay.sockets_from_callers() == 0

    def bring_to(self, moment: Script, caller: RawCaller, raw: bytes = b"") -> None:
        """Bring a request, or these bytes, as far as the moment at which the caller is to leave."""
        seen = len(self.upstream.requests)
        self.upstream.answer(moment)
        caller.send(raw) if raw else caller.post(CHAT, STREAM)
        self.upstream.wait_for_requests(seen + 1)
        if moment is not before_the_head:
            caller.read_head()
            caller.read_until(ONE)

    def assert_noticed(self, left: float, status: int) -> None:
        """The upstream is closed in time, the slot is free at that very moment, and the log says why."""
        assert_within(NOTICED_SECONDS_MAX, left, self.upstream.wait_for_peer_close())
        self.upstream.answer(saying(chat_stream("Hello")))
        with self.connect() as caller:
            assert stream(caller) == (WHOLE, True)
        line = self.owed.line()
        assert (line["end"], line["status"]) == ("client_gone", status)


def status_at(moment: Script) -> int:
    return 499 if moment is before_the_head else 200


class Rambling:
    """The upstream's script: a head after a while, then frames now and then, each answer in a rhythm of its own.

    `begun`, `ended`: when it began to answer which request, by its traceparent, and when that caller was gone.
    """

    def __init__(self, seed: int) -> None:
        self.begun: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._seeds = itertools.count(seed)

    def __call__(self, conn: Connection) -> None:
        while True:
            name = conn.read_request().header("traceparent") or ""
            self.begun[name] = time.monotonic()
            try:
                self._ramble(conn, random.Random(next(self._seeds)))
            finally:
                self.ended[name] = time.monotonic()

    def _ramble(self, conn: Connection, chance: random.Random) -> None:
        conn.stall(chance.random() * 0.01)
        conn.send(sse_head())
        while True:
            conn.send(chunk(ONE))
            conn.stall(chance.random() * 0.01)


def request(key: str, name: str) -> bytes:
    """A whole request as bytes; `name` goes on to the upstream in a header."""
    body = b'{"model":"gpt-test","stream":true,"messages":[]}'
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\ntraceparent: {name}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
