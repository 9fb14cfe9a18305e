"""A stream that is kept while it is made and for a while after: its head, its frames, how it ended, who reads it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from relay.core.errors import RelayError
from relay.core.frame_log import FrameLog
from relay.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Head:
    """What a caller is answered before the first frame. `is_stream`: it is an event stream, else a body in pieces."""

    status: int
    headers: tuple[tuple[str, str], ...]
    is_stream: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stream ended. `status`: done, failed or cancelled; `whole`: the caller may take it for complete."""

    status: str
    whole: bool
    error: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What a stream is about. `fingerprint`: of the request's body; `created_at`: UTC epoch seconds."""

    id: str
    owner: str
    route: str
    model: str | None
    fingerprint: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A stream in a list. `frames`: how many there were so far; `expires_at`: None while it is being made."""

    id: str
    owner: str
    route: str
    model: str | None
    status: str
    created_at: float
    frames: int
    expires_at: float | None


class Reader(Protocol):
    """Somebody who reads along. `cursor`: the number of the last frame that it has taken."""

    cursor: int

    def advance(self) -> None: ...


class Keeper(Protocol):
    """Where the stream is kept beside this process' memory; told of everything, it never waits and never raises."""

    def opened(self, kept: "Kept") -> None: ...

    def appended(self, kept: "Kept", data: bytes, last_seq: int) -> None: ...

    def ended(self, kept: "Kept") -> None: ...


@dataclass(slots=True, eq=False)
class Kept:
    """One stream. `head` and `refusal`: one of them comes first; `outcome`: None while it is being made.

    `is_ours`: its producer runs in this process. `waiting`: how many callers wait for its head. `room`: called when its
    readers made room for more.
    """

    subject: Subject
    bytes_max: int
    keeper: Keeper
    log: FrameLog
    is_ours: bool = True
    is_forgotten: bool = False
    head: Head | None = None
    refusal: RelayError | None = None
    outcome: Outcome | None = None
    readers: set[Reader] = field(default_factory=set)
    on_head: list[Callable[[], None]] = field(default_factory=list)
    waiting: int = 0
    room: Callable[[], None] | None = None

    @property
    def status(self) -> str:
        """opening, live, done, failed or cancelled."""
        if self.outcome is not None:
            return self.outcome.status
        return "opening" if self.head is None else "live"

    @property
    def is_attended(self) -> bool:
        """Whether anybody in this process reads it or waits for it."""
        return bool(self.readers) or self.waiting > 0

    @property
    def is_full(self) -> bool:
        """Whether its slowest reader must take something before more can be kept."""
        return self.log.is_over(self.bytes_max)

    def open(self, head: Head) -> None:
        """From now on it can be answered."""
        self.head = head
        self.keeper.opened(self)
        self._tell_head()

    def refuse(self, error: RelayError) -> None:
        """It never began; whoever waits is refused for the same reason."""
        self.refusal = error
        self.keeper.ended(self)
        self._tell_head()
        self._clear_where_done()

    def append(self, data: bytes, last_seq: int) -> None:
        """Keep frames and wake the readers."""
        self.log.append(data, last_seq)
        self.keeper.appended(self, data, last_seq)
        for reader in tuple(self.readers):
            reader.advance()
        if self.is_full:
            self.evict()

    def end(self, outcome: Outcome) -> None:
        """Nothing more will come."""
        self.outcome = outcome
        self.keeper.ended(self)
        for reader in tuple(self.readers):
            reader.advance()
        self._tell_head()
        self._clear_where_done()

    def evict(self) -> None:
        """Forget what no reader needs, until the rest fits."""
        needed_after = min((reader.cursor for reader in self.readers), default=self.log.last_seq)
        self.log.evict(self.bytes_max, needed_after)

    def join(self, reader: Reader) -> None:
        """Wake `reader` from now on."""
        self.readers.add(reader)

    def leave(self, reader: Reader) -> None:
        """Forget `reader`; what only it needed may go."""
        self.readers.discard(reader)
        self.taken()
        self._clear_where_done()

    def forget(self) -> None:
        """Nobody can find it any more: what is kept goes with its last reader."""
        self.is_forgotten = True
        self._clear_where_done()

    def taken(self) -> None:
        """A reader took something: a producer that waited for room may go on."""
        if self.is_full:
            self.evict()
        if self.room is not None and not self.is_full:
            self.room()

    def _clear_where_done(self) -> None:
        if self.is_forgotten and not self.readers and (self.outcome or self.refusal):
            self.log.clear()

    def _tell_head(self) -> None:
        told, self.on_head = self.on_head, []
        for tell in told:
            tell()
