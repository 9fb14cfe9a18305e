"""A relay of one or several workers, its Redis where it has one, and an upstream that counts what is live."""

import contextlib
import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.live.bench import workers
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.floor import Floor
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, Answer, chat_completion, chat_frame, every_request, json_answer, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.stores import redis_server
from tests.stores.redis_server import RedisServer

WORKERS = 4
HELD = b"held"
SKIPPED = "REDIS IS NOT TESTED: no redis-server; on Debian: apt-get install redis-server"
FRAME = chat_frame("one")
END = chunk(chat_frame("", "stop")) + chunk(DONE) + LAST_CHUNK
MODELS = json_answer({"object": "list", "data": []})
COMPLETION = json_answer(chat_completion("Hello"))


@dataclass
class Crew:
    """`size`: how many workers; one alone counts in its memory. `floor`: a new one for each round.

    `last_name`: of the key that was made last.
    """

    relay: RelayProcess
    upstream: ScriptedUpstream
    size: int
    floor: Floor = field(default_factory=Floor)
    released: threading.Event = field(default_factory=threading.Event)
    last_name: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_round(self) -> None:
        self.upstream.hang_up()
        self.upstream.forget()
        self.floor = Floor()

    def new_key(self, **policy: object) -> str:
        self.last_name = f"key {next(self._numbers)}"
        return self.relay.create_key(self.last_name, **policy)

    def holders(self) -> Counter[int]:
        """How many live requests each worker has at the upstream, by its pid."""
        return workers.connections_of(self.relay, self.floor.peer_ports())

    def answer_at_once(self) -> None:
        """JSON to each request."""
        floor = self.floor

        def say(conn: Connection, _: Request) -> None:
            with floor.on(conn):
                pass
            conn.send(COMPLETION)

        self._answer(say)

    def ramble(self, seed: int) -> None:
        """Streams of different lengths, one in four a long one; off the floor before their end is told."""
        floor, numbers = self.floor, itertools.count()

        def say(conn: Connection, _: Request) -> None:
            dice = random.Random(seed * 1_000_000 + next(numbers))
            with floor.on(conn):
                conn.stall(dice.uniform(0, 0.02))
                conn.send(sse_head())
                for _ in range(dice.choice([1, 3, 6, 60])):
                    conn.send(chunk(FRAME))
                    conn.stall(dice.uniform(0, 0.02))
            conn.send(END)

        self._answer(say)

    def answer_in_kind(self) -> None:
        """JSON, or a short stream; a stream of the model HELD goes on until it is released."""
        floor, released = self.floor, self.released

        def say(conn: Connection, request: Request) -> None:
            if b'"stream": true' not in request.body:
                return conn.send(COMPLETION)
            with floor.on(conn):
                conn.send(sse_head() + chunk(FRAME))
                while HELD in request.body and not released.is_set():
                    conn.send(chunk(FRAME))
                    conn.stall(0.1)
            return conn.send(END)

        self._answer(say)

    def hold(self) -> None:
        """Streams that go on until their callers leave."""
        floor = self.floor

        def say(conn: Connection, _: Request) -> None:
            with floor.on(conn):
                conn.send(sse_head())
                while True:
                    conn.send(chunk(FRAME))
                    conn.stall(0.2)

        self._answer(say)

    def _answer(self, say: Answer) -> None:
        """To each request of a caller; a worker that starts asks for the models, which is nobody's."""
        self.upstream.answer(
            every_request(lambda conn, request: say(conn, request) if request.method == "POST" else conn.send(MODELS))
        )

    def tail(self) -> str:
        return self.relay.tail()


@contextlib.contextmanager
def running_redis() -> Iterator[RedisServer]:
    if not redis_server.installed():
        pytest.skip(SKIPPED)
    with redis_server.serving() as server:
        yield server


@contextlib.contextmanager
def crew_of(size: int, redis_url: str, directory: Path, **environ: str) -> Iterator[Crew]:
    """All workers are up when the block begins; no script may have failed, and nobody told a traceback, at its end."""
    upstream = ScriptedUpstream().start()
    relay = RelayProcess(upstream.base_url, directory, workers.several(size, redis_url, **environ))
    try:
        relay.wait_ready()
        with workers.one_caller_each(relay, size):
            pass
        yield Crew(relay, upstream, size)
    finally:
        relay.stop()
        upstream.stop()
    upstream.check()
    assert "Traceback" not in relay.stdout() + relay.stderr()
