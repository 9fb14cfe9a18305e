"""A stage whose streams are kept: an upstream's answer goes into a log, and callers follow it on real sockets."""

from collections.abc import Callable
from typing import Any

import gevent

from relay.core.dialects import OPENAI
from relay.core.flow import Ending
from relay.core.frame_log import FrameLog, Tally
from relay.core.kept import Head, Kept, Outcome, Subject
from relay.core.numbered_flow import NumberedFlow
from relay.core.scrub import Scrubber
from relay.pump.follower import Follower
from tests.pump.partners import DONE, Answering, Caller
from tests.pump.stage import EVENTS, FRAME_BYTES_MAX, KEY, Stage

STREAM = "rs_0123456789012345678901"
PING = b": ping\n"
HEAD = Head(200, EVENTS, is_stream=True)
KEPT_BYTES_MAX = 65_536


Keep = Callable[..., "Keeping"]
Produce = Callable[..., tuple["Keeping", Answering]]


class Keeper:
    """Nothing is kept elsewhere."""

    def opened(self, kept: Kept) -> None: ...

    def appended(self, kept: Kept, data: bytes, last_seq: int) -> None: ...

    def ended(self, kept: Kept) -> None: ...


def new_kept(bytes_max: int = KEPT_BYTES_MAX) -> Kept:
    """A stream of which nothing is there yet."""
    subject = Subject(STREAM, KEY, "/v1/chat/completions", "gpt-test", "", 0.0)
    return Kept(subject, bytes_max, Keeper(), FrameLog(Tally()))


def numbered(seq: int, text: str = "") -> bytes:
    """One frame as it is kept."""
    return f"id: {STREAM}:{seq}\ndata: {text or seq}\n\n".encode()


def frames(first: int, last: int) -> bytes:
    return b"".join(numbered(seq) for seq in range(first, last + 1))


def last(seq: int) -> bytes:
    """The terminal frame as it is kept."""
    return f"id: {STREAM}:{seq}\n".encode() + DONE


def kept_with(count: int) -> Kept:
    """A live stream of so many frames."""
    kept = new_kept()
    kept.open(HEAD)
    grow(kept, count)
    return kept


def grow(kept: Kept, count: int, text: str = "") -> bytes:
    """So many frames more, each in a piece of its own; return them."""
    grown = [numbered(kept.log.last_seq + 1 + more, text) for more in range(count)]
    for data in grown:
        kept.append(data, kept.log.last_seq + 1)
    return b"".join(grown)


def end(kept: Kept, whole: bool = True) -> None:
    """Nothing more will come."""
    kept.end(Outcome("done" if whole else "failed", whole=whole))


class Keeping:
    """`kept`: what is made. `ended`: the followers that came to their end; `endings`: what ended the production."""

    def __init__(self, stage: Stage, kept: Kept, after: int = 0, pending: bytes = b"", ping: bytes = PING) -> None:
        self.stage, self.kept, self.after, self._pending, self._ping = stage, kept, after, pending, ping
        self.ended: list[Follower] = []
        self.endings: list[Ending] = []
        self.making: gevent.Greenlet | None = None
        stage._worker.wsgi = self._answer

    def follower(self, after: int = 0, rcvbuf_bytes: int = 0, version: str = "1.1") -> Caller:
        """One more caller, who follows from behind number `after`; its answer's head has come."""
        self.after = after
        caller = self.stage.caller(rcvbuf_bytes=rcvbuf_bytes)
        caller.ask(version)
        caller.until(b"\r\n\r\n")
        return caller

    def produce(self) -> Answering:
        """Have the stream made of an upstream's answer; return the upstream's connection."""
        self.making = gevent.spawn(self._make)
        upstream = self.stage.upstream.next()
        upstream.head()
        return upstream

    def _make(self) -> None:
        stage, kept = self.stage, self.kept
        stage.flow_for = lambda *_: NumberedFlow(STREAM, OPENAI, Scrubber(""), FRAME_BYTES_MAX)
        exchange = stage._open_exchange(stage.pump.unattended(KEY))
        kept.open(HEAD)
        begun: Callable[[Any], None] = lambda _: None  # noqa: E731
        ending = stage.pump.produce(exchange, kept, begun)
        self.endings.append(ending)
        if ending.last:
            kept.append(ending.last, exchange.flow.last_seq)
        kept.end(Outcome("done" if ending.whole else "failed", ending.whole))

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        """What the web room does, without Flask."""
        pump = self.stage.pump
        wire = pump.open_wire(start_response, "200 OK", EVENTS)
        follower = pump.follow(self.kept, self.after, wire, self._pending, self._ping)
        self.ended.append(follower)
        whole = follower.end == "done" and self.kept.outcome is not None and self.kept.outcome.whole
        return pump.conclude(wire, follower.sink.pending, Ending(follower.end or "", whole=whole))
