"""How far Redis has a stream that is made in this process, and what is to be told it next.

The log in memory is the truth; what is not yet told is read from it, so that nothing waits in a second place.
"""

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

from relay.core.frame_log import Evicted
from relay.core.kept import Keeper, Kept, Outcome
from relay.stores.redis_wire import Command, script
from relay.stores.stream_record import Record, as_json, claim_key, head_key, log_key, owner_key, piece, producer_key

# A process that is silent for so long is taken for dead; it proves every second that it lives.
LEASE_SECONDS = 6.0
# Frames that wait leave together, up to so many bytes.
PIECE_BYTES_MAX = 65_536

Reply = Callable[[Any], None]
Step = tuple[Command, Reply]


class Scripts:
    """What Redis runs for a producer."""

    def __init__(self) -> None:
        self.claim, self.append, self.tell = script("claim_stream"), script("append_frames"), script("tell_stream")
        self.forget, self.drop_claim = script("forget_stream"), script("drop_claim")


class Copy:
    """The keeper of one stream: keeps it in memory, and marks what Redis does not have yet. It never waits.

    `entered`: set once Redis knows it. `is_over`: nothing more is to be told, for it was removed here or ended there.
    """

    def __init__(self, kept: Kept, claim: str | None, memory: Keeper, mark: Callable[["Copy"], None]) -> None:
        self.kept, self.claim, self._memory, self._mark = kept, claim, memory, mark
        self.entered, self.is_over = Event(), False
        self.restart()

    def restart(self) -> None:
        """Redis knows nothing of it."""
        self.is_entered = self.is_opened = self.is_ended = False
        self.written_seq = 0

    @property
    def is_behind(self) -> bool:
        """Whether there is something to tell."""
        kept = self.kept
        has_more = kept.log.last_seq > self.written_seq or (kept.outcome is not None and not self.is_ended)
        return not self.is_over and (not self.is_entered or has_more or (kept.head is not None and not self.is_opened))

    def stands(self, record: Record | None) -> None:
        """Go on from what Redis knows of it, after a time in which nobody can say what arrived."""
        if record is None:
            self.restart()
            return
        self.is_entered, self.is_opened, self.written_seq = True, record.head is not None, record.last_seq
        self.is_ended = record.outcome is not None
        self.is_over |= self.is_ended and self.kept.outcome is None  # others took this process for dead

    # What the stream tells its keeper.

    def opened(self, kept: Kept) -> None:
        self._memory.opened(kept)
        self._mark(self)

    def appended(self, kept: Kept, data: bytes, last_seq: int) -> None:
        self._memory.appended(kept, data, last_seq)
        self._mark(self)

    def ended(self, kept: Kept) -> None:
        self._memory.ended(kept)
        self._mark(self)

    # What Redis is told.

    def claiming(self, scripts: Scripts, producer: str, ttl_ms: int) -> Command:
        """Enter it; the reply names another stream where its claim does."""
        subject = self.kept.subject
        keys = [head_key(subject.id), owner_key(subject.owner), producer_key(producer)]
        keys += [claim_key(self.claim)] if self.claim is not None else []
        lease_ms = int(LEASE_SECONDS * 1000)
        about = (subject.id, subject.fingerprint, as_json(subject), producer, ttl_ms, lease_ms)
        return ("EVAL", scripts.claim, len(keys), *keys, *about)

    def telling(self, scripts: Scripts, ttl_ms: int, *facts: str | bytes) -> Command:
        """Enter facts, and prolong what is known."""
        subject = self.kept.subject
        keys = (head_key(subject.id), log_key(subject.id), owner_key(subject.owner))
        return ("EVAL", scripts.tell, 3, *keys, subject.id, ttl_ms, *facts)

    def beginning(self, scripts: Scripts, producer: str, ttl_ms: int) -> Iterator[Step]:
        """What comes before its frames."""
        if not self.is_entered:
            yield self.claiming(scripts, producer, ttl_ms), self.took_entry
        if self.kept.head is not None and not self.is_opened:
            yield self.telling(scripts, ttl_ms, "head", as_json(self.kept.head)), self._took_head

    def next_piece(self) -> tuple[int, bytes] | None:
        """The next frames as Redis keeps them, and the number of the last; None where there are no more."""
        kept = self.kept
        # a body that is no event stream cannot be cut between two of its numbers
        bytes_max = PIECE_BYTES_MAX if kept.head is not None and kept.head.is_stream else 0
        try:
            data, last = kept.log.read(self.written_seq, bytes_max)
        except Evicted:  # Redis was away for too long
            self.written_seq = kept.log.evicted_seq
            data, last = kept.log.read(self.written_seq, bytes_max)
        return (last, piece(self.written_seq, last, data)) if last > self.written_seq else None

    def ending(self, scripts: Scripts, told_seq: int, ttl_ms: int) -> Iterator[Step]:
        """What comes behind its frames, once all of them are told."""
        outcome: Outcome | None = self.kept.outcome
        if outcome is not None and not self.is_ended and told_seq >= self.kept.log.last_seq:
            yield self.telling(scripts, ttl_ms, "outcome", as_json(outcome)), self._took_end

    def took_entry(self, named: Any) -> None:
        """The reply to `claiming`."""
        if named is None:
            self.is_entered = True
            self.entered.set()
        else:
            self.claim = None  # Redis had forgotten it, and another stream has its claim meanwhile

    def took_piece(self, last: int, known: int) -> None:
        """What `append_frames` replied for it."""
        if known == 1:
            self.written_seq = max(self.written_seq, last)
        else:
            self.took(known)

    def took(self, known: int) -> None:
        """What `tell_stream` replied: it is known (1), forgotten (0), or has ended (-1)."""
        if known == 0:
            self.restart()
        self.is_over |= known == -1

    def _took_head(self, known: int) -> None:
        self.is_opened = known == 1
        self.took(known)

    def _took_end(self, known: int) -> None:
        self.is_ended = known == 1
        self.took(known)
