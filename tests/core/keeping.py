"""A kept stream with a keeper that takes down what it is told, and readers that take when they want to, or at once."""

from dataclasses import dataclass, field

from relay.core.errors import RelayError
from relay.core.frame_log import PIECE_BYTES, FrameLog, Tally
from relay.core.kept import Head, Kept, Outcome, Subject

HEAD = Head(200, (("Content-Type", "text/event-stream"),), is_stream=True)
DONE = Outcome("done", whole=True)
REFUSED = RelayError("overloaded", "Too much.")
PIECE = 100
PIECE_COST = PIECE + PIECE_BYTES


@dataclass
class Keeper:
    """Takes down what it is told."""

    told: list[str] = field(default_factory=list)

    def opened(self, kept: Kept) -> None:
        self.told.append("opened")

    def appended(self, kept: Kept, data: bytes, last_seq: int) -> None:
        self.told.append(f"appended {last_seq}")

    def ended(self, kept: Kept) -> None:
        self.told.append(f"ended {kept.status}")


@dataclass(eq=False)
class Reader:
    """Takes one piece whenever it wants to."""

    kept: Kept
    cursor: int = 0
    woken: int = 0
    got: bytes = b""

    def advance(self) -> None:
        self.woken += 1

    def take(self) -> None:
        data, self.cursor = self.kept.log.read(self.cursor, 0)
        self.got += data
        self.kept.taken()


class EagerReader(Reader):
    """Takes what there is as soon as it is told."""

    def advance(self) -> None:
        super().advance()
        self.take()


def kept_with(pieces_max: int = 4) -> Kept:
    """A stream of which so many pieces are kept."""
    subject = Subject("rs_1", "key_1", "/v1/chat/completions", "gpt-test", "", 0.0)
    return Kept(subject, pieces_max * PIECE_COST, Keeper(), FrameLog(Tally()))


def append(kept: Kept, count: int = 1) -> None:
    for _ in range(count):
        kept.append(b"%0*d" % (PIECE, kept.log.last_seq + 1), kept.log.last_seq + 1)


def told(kept: Kept) -> list[str]:
    assert isinstance(kept.keeper, Keeper)
    return kept.keeper.told


def joined(kept: Kept, kind: type[Reader] = Reader, cursor: int = 0) -> Reader:
    reader = kind(kept, cursor)
    kept.join(reader)
    return reader
