"""Processes that share their streams through Redis, moved by the test step by step; and the streams they make."""

from collections.abc import Callable
from dataclasses import dataclass, field

from relay.core.event_ids import mint_stream_id
from relay.core.kept import Head, Kept, Outcome, Subject
from relay.core.usage import Usage
from relay.stores.streams import Keeping
from relay.stores.streams_redis import RedisStreams
from tests.stores.conftest import no_failure

KEEPING = Keeping(keep_seconds=600, stream_bytes_max=100_000, process_bytes_max=1_000_000)
CHAT = "/v1/chat/completions"
STREAM = Head(200, (("Content-Type", "text/event-stream"),), is_stream=True)
JSON = Head(200, (("Content-Type", "application/json"),), is_stream=False)
DONE = Outcome("done", whole=True, usage=Usage(3, 4))
ANSWER_SECONDS_MAX = 10.0


@dataclass
class Clock:
    """Seconds that pass when the test says so."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Reader:
    """Somebody who reads along and takes nothing by himself."""

    cursor: int = 0
    woken: int = 0

    def advance(self) -> None:
        self.woken += 1


@dataclass(eq=False)
class Process:
    """One worker, somewhere."""

    url: str
    clock: Clock = field(default_factory=Clock)
    keeping: Keeping = KEEPING
    report: Callable[[str, BaseException], None] = no_failure

    def __post_init__(self) -> None:
        self.streams = RedisStreams(self.url, self.keeping, self.report, self.clock)
        self.cancelled: list[str] = []
        self.streams.on_cancel = self.cancelled.append
        settle(self)

    def close(self) -> None:
        self.streams.close()

    def live(self, claim: str | None = None, subject: Subject | None = None, frames: int = 0) -> Kept:
        """A stream that is being made here, with so many frames, all of which Redis has."""
        kept, is_new = self.streams.claim(subject or new_subject(), claim)
        assert is_new
        kept.open(STREAM)
        count(kept, frames)
        settle(self)
        return kept

    def found(self, kept: Kept) -> Kept:
        """The same stream as this process knows it."""
        found = self.streams.find(kept.subject.id)
        assert found is not None
        return found


def settle(*processes: Process) -> None:
    """Let everything that is under way arrive everywhere."""
    is_busy = True
    while is_busy:
        for process in processes:
            write(process)
        is_busy = any([hear(process) for process in processes])
        for process in processes:
            process.streams.mirrors.catch_up()


def write(process: Process) -> None:
    """Let Redis have all, unless it is away."""
    writer = process.streams.writer
    writer.flush()
    while writer._marked and not writer.is_down:
        writer.flush()


def hear(process: Process) -> bool:
    """Hear all that was published until now: it comes before the answer to a ping. Return whether there was any."""
    listener = process.streams.listener
    listener.turn(0)
    assert listener._wire is not None
    listener._wire.send(("PING",))
    was_told = False
    while (said := listener._wire.receive(ANSWER_SECONDS_MAX))[0] != b"pong":
        was_told = True
        listener._take(said)
    return was_told


def tick(seconds: float, *processes: Process) -> None:
    """So much later, after each has looked after its streams."""
    for process in processes:
        process.clock.now += seconds
        process.streams.tend()
    settle(*processes)


def new_subject(owner: str = "key_a", fingerprint: str = "f", route: str = CHAT) -> Subject:
    return Subject(mint_stream_id(), owner, route, "gpt-test", fingerprint, 1_000_000.0)


def frame(kept: Kept, seq: int) -> bytes:
    return b"id: %b:%d\ndata: %d\n\n" % (kept.subject.id.encode(), seq, seq)


def count(kept: Kept, frames: int) -> None:
    """Append so many frames, each in a piece of its own."""
    for seq in range(kept.log.last_seq + 1, kept.log.last_seq + frames + 1):
        kept.append(frame(kept, seq), seq)


def whole(kept: Kept, after: int = 0) -> bytes:
    """All frames behind a number."""
    data = b""
    while after < kept.log.last_seq:
        piece, after = kept.log.read(after, 1 << 20)
        data += piece
    return data


def expected(kept: Kept, after: int, last: int) -> bytes:
    return b"".join(frame(kept, seq) for seq in range(after + 1, last + 1))
