"""Streams in the making, on gevent's loop: a pump and work that do what a test says, over the real memory store."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import AsyncResult

from relay.core.dialects import OPENAI
from relay.core.errors import RelayError
from relay.core.flow import Ending
from relay.core.kept import Head, Kept, Subject
from relay.core.usage import Usage
from relay.pump.presence import Unattended
from relay.stores.streams import Keeping, MemoryStreams
from relay.streams.streams import Streams

KEY = "key_0000000000000000"
HEAD = Head(200, (("Content-Type", "text/event-stream"),), is_stream=True)
FRAME = b"id: rs_1:1\ndata: 1\n\n"
SECONDS_MAX = 5.0


@dataclass
class Flow:
    """As far as a production looks."""

    last_seq: int = 0
    usage: Usage | None = field(default_factory=lambda: Usage(1, 2))


@dataclass(eq=False)
class Exchange:
    upstream: Head = HEAD
    flow: Flow = field(default_factory=Flow)
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


class Stream:
    """What the pump pumps, until it is cut."""

    def __init__(self) -> None:
        self.ending: AsyncResult = AsyncResult()
        self.cuts: list[tuple[str, str]] = []

    def cut(self, end: str, code: str) -> None:
        self.cuts.append((end, code))
        if not self.ending.ready():
            self.ending.set(Ending(end, b"id: rs_1:9\ndata: cut\n\n", code=code))


class Pump:
    """`streams`: what it pumps now, and pumped; each goes on until its `ending` is set."""

    def __init__(self) -> None:
        self.waiting: set[Any] = set()
        self.streams: list[Stream] = []

    def unattended(self, names: tuple[str, ...]) -> Unattended:
        return Unattended(names, self.waiting)

    def produce(self, exchange: Any, kept: Kept, begun: Callable[[Any], None]) -> Ending:
        stream = Stream()
        self.streams.append(stream)
        begun(stream)
        try:
            ending: Ending = stream.ending.get()
            exchange.flow.last_seq += bool(ending.last)
            return ending
        finally:
            exchange.close()


class Work:
    """`opened`: what the upstream's answer comes to, an Exchange or an error; `before`: runs before it is awaited."""

    names = (KEY,)
    dialect = OPENAI

    def __init__(self, detach: str = "", head: Head | None = HEAD) -> None:
        self.detach, self._head = detach, head
        self.opened: AsyncResult = AsyncResult()
        self.refusals: list[RelayError] = []
        self.before: Callable[[], None] = lambda: None

    def open(self, presence: Any, stream_id: str) -> Any:
        self.before()
        with presence:
            return self.opened.get()

    def head_of(self, upstream: Head) -> Head:
        return upstream

    def empty_head(self) -> Head | None:
        return self._head

    def refused(self, error: RelayError) -> None:
        self.refusals.append(error)


class Scene:
    """`streams` over `store` and `pump`; what they reported of defects is in `reported`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pump, self.reported = Pump(), list[str]()
        self.store = MemoryStreams(Keeping(600, 4_000_000, 40_000_000), lambda: self.now)
        self.streams = Streams(self.store, self.pump, 0.2, lambda where, error: self.reported.append(f"{error!r}"))
        self._made = 0

    def begin(self, work: Work | None = None, claim: str | None = None) -> tuple[Kept, Work]:
        """A stream in the making; its upstream has not answered."""
        kept, is_new = self.streams.claim(self.subject(), claim)
        assert is_new
        work = work or Work()
        self.streams.begin(kept, work)
        gevent.sleep(0)
        return kept, work

    def live(self, work: Work | None = None, claim: str | None = None) -> tuple[Kept, Stream, Exchange]:
        """A stream whose upstream has answered."""
        kept, work = self.begin(work, claim)
        exchange = Exchange()
        work.opened.set(exchange)
        until(lambda: kept.head)
        return kept, self.pump.streams[-1], exchange

    def subject(self, owner: str = KEY, fingerprint: str = "") -> Subject:
        self._made += 1
        return Subject(f"rs_{self._made}", owner, "/v1/chat/completions", "gpt-test", fingerprint, 0.0)


def until(true: Callable[[], object]) -> None:
    """Let the loop run until something is true. Raises gevent.Timeout."""
    with gevent.Timeout(SECONDS_MAX):
        while not true():
            gevent.sleep(0.001)
