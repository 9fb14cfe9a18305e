"""Streams that can be resumed, in the memory of one process: which are kept, whose they are, and for how long."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from relay.core.errors import RelayError
from relay.core.frame_log import FrameLog, Tally
from relay.core.kept import Kept, Subject, Summary

# A stream that must share a full memory with others keeps at least this much of itself.
SHRUNK_BYTES_MIN = 65_536


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much of a stream is kept, and for how long after its end; `process_bytes_max` for all of them together."""

    keep_seconds: float
    stream_bytes_max: int
    process_bytes_max: int


class MemoryStreams:
    """One process alone. `clock`: seconds, never set back. It is the keeper of its streams: nothing needs telling.

    `on_cancel`: never called, for no other process wants one ended. `background`: what must run beside `tend`.
    """

    background: tuple[tuple[str, Callable[[], None]], ...] = ()

    def __init__(self, keeping: Keeping, clock: Callable[[], float] = time.monotonic) -> None:
        self.keeping, self._clock = keeping, clock
        self.on_cancel: Callable[[str], None] = lambda stream_id: None
        self.tally = Tally()
        self._kept: dict[str, Kept] = {}
        self._claims: dict[str, Kept] = {}
        self._claims_of: dict[str, str] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()

    def claim(self, subject: Subject, claim: str | None) -> tuple[Kept, bool]:
        """Return the stream that `claim` names and whether it is new: then the caller must produce or remove it.

        Raises RelayError idempotency_mismatch (it is about something else), overloaded (no memory is left).
        """
        known = self._claims.get(claim) if claim is not None else None
        if known is not None:
            if known.subject.fingerprint != subject.fingerprint:
                raise mismatch()
            return known, False
        self._require_room()
        kept = Kept(subject, self.keeping.stream_bytes_max, self, FrameLog(self.tally))
        self._kept[subject.id] = kept
        if claim is not None:
            self._claims[claim], self._claims_of[subject.id] = kept, claim
        return kept, True

    def adopt(self, kept: Kept) -> None:
        """Keep a stream that another process began."""
        self._kept[kept.subject.id] = kept

    def release(self, kept: Kept) -> None:
        """Another process goes on with it: forget it here, without a word to those who read it."""
        self.unclaim(kept)
        self._kept.pop(kept.subject.id, None)
        kept.log.clear()

    def find(self, stream_id: str) -> Kept | None:
        """Return the stream of this name, or None."""
        return self._kept.get(stream_id)

    def claimed(self, claim: str) -> Kept | None:
        """Return the stream that `claim` names, or None."""
        return self._claims.get(claim)

    def of_owner(self, owner: str) -> list[Summary]:
        """All streams of this owner, the newest last."""
        return [self._summary(kept) for kept in self._kept.values() if kept.subject.owner == owner]

    def all(self) -> list[Summary]:
        """All streams, the newest last."""
        return [self._summary(kept) for kept in self._kept.values()]

    def expires_at(self, kept: Kept) -> float | None:
        """When it will be forgotten, UTC epoch seconds; None while it is being made."""
        ends_at = self._ended.get(kept.subject.id)
        return None if ends_at is None else time.time() + ends_at - self._clock()

    def unclaim(self, kept: Kept) -> None:
        """Its claim may be made anew: nothing was delivered for it."""
        self._claims.pop(self._claims_of.pop(kept.subject.id, ""), None)

    def remove(self, kept: Kept) -> None:
        """Forget it."""
        self.unclaim(kept)
        self._ended.pop(kept.subject.id, None)
        if self._kept.pop(kept.subject.id, None) is not None:
            kept.forget()

    def tend(self) -> None:
        """Forget what was kept long enough; called every second."""
        now = self._clock()
        while self._ended:
            stream_id, ends_at = next(iter(self._ended.items()))
            if ends_at > now:
                return
            self.remove(self._kept[stream_id])

    def followed_elsewhere(self, all_kept: list[Kept]) -> set[str]:
        """The names of those that other processes read along: here there is no other."""
        return set()

    def ask_to_cancel(self, kept: Kept) -> None:
        """Pass a cancel on to the process that produces it: here there is no other."""

    def close(self) -> None:
        """Nothing is open here."""

    # What its streams tell it.

    def opened(self, kept: Kept) -> None:
        """The head needs no other place."""

    def appended(self, kept: Kept, data: bytes, last_seq: int) -> None:
        """Keep all streams together within their bound: the oldest that ended goes first."""
        while self.tally.bytes > self.keeping.process_bytes_max:
            if not self._drop_oldest():
                kept.bytes_max = max(SHRUNK_BYTES_MIN, kept.bytes_max // 2)
                return

    def ended(self, kept: Kept) -> None:
        """From now on its time runs."""
        if kept.subject.id in self._kept:
            self._ended[kept.subject.id] = self._clock() + self.keeping.keep_seconds

    def _require_room(self) -> None:
        while self.tally.bytes >= self.keeping.process_bytes_max:
            if not self._drop_oldest():
                raise RelayError(
                    "overloaded", "The relay has no memory left for streams to resume.", retry_after_seconds=1.0
                )

    def _drop_oldest(self) -> bool:
        for stream_id in self._ended:
            kept = self._kept[stream_id]
            if not kept.is_attended:
                self.remove(kept)
                return True
        return False

    def _summary(self, kept: Kept) -> Summary:
        subject = kept.subject
        expires_at = self.expires_at(kept)
        return Summary(
            subject.id,
            subject.owner,
            subject.route,
            subject.model,
            kept.status,
            subject.created_at,
            kept.log.last_seq,
            expires_at,
        )


def mismatch() -> RelayError:
    return RelayError("idempotency_mismatch", "This Idempotency-Key was used with another request.")
