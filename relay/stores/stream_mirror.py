"""One stream that another process makes, as far as it is known here."""

from collections.abc import Callable, Iterable

from relay.core.dialects import OPENAI
from relay.core.errors import RelayError
from relay.core.frame_log import FrameLog, Tally, behind
from relay.core.kept import Head, Keeper, Kept, Outcome, Subject
from relay.core.numbered_flow import numbered_error
from relay.core.progress import Progress
from relay.core.routes import ROUTES, TASKS
from relay.core.task_flow import error_in_stream
from relay.stores.redis_wire import Command
from relay.stores.stream_record import Record, as_json, head_key, log_key, piece, producer_key, read_piece

# What callers are answered where the process that was to make a stream died first: one frame, that tells it.
NEVER_OPENED = Head(
    200, (("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-store")), is_stream=True
)
RESTARTED = Outcome("failed", whole=False, error="relay_restarted")
LOST = Outcome("failed", whole=False, error="worker_lost")
CANCELLED = Outcome("cancelled", whole=False, error="cancelled")
_DIALECTS = {route.path: route.dialect for route in ROUTES}


class Mirror:
    """The keeper of such a stream. `needed_at`: when somebody was last seen to need it; `missing_since`: since when
    Redis, which once knew it, does not (seconds); `behind`: called when it has missed something.
    """

    def __init__(
        self, record: Record, bytes_max: int, tally: Tally, memory: Keeper, behind: Callable[["Mirror"], None]
    ) -> None:
        self.kept = Kept(record.subject, bytes_max, self, FrameLog(tally), is_ours=False)
        self.record, self._memory, self._behind = record, memory, behind
        self.needed_at = 0.0
        self.missing_since: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will come."""
        return self.kept.outcome is not None or self.kept.refusal is not None

    def hear(self, raw: bytes) -> None:
        """Take frames that were published just now, unless those before them are missing."""
        before, last, data = read_piece(raw)
        kept, self.missing_since = self.kept, None
        if self.is_settled or last <= kept.log.last_seq:
            return
        if kept.head is None or kept.is_full or before > kept.log.last_seq:
            self._fall_behind()
        else:
            self._append(before, last, data)

    def take(self, record: Record, pieces: Iterable[bytes]) -> None:
        """Take what Redis knows, as far as there is room."""
        self.record, self.missing_since = record, None
        kept = self.kept
        if record.refusal is not None and not self.is_settled:
            kept.refuse(record.refusal)
        if record.head is not None and kept.head is None:
            kept.open(record.head)
        for before, last, data in map(read_piece, pieces):
            if kept.is_full:
                self._fall_behind()
                return
            if last > kept.log.last_seq:
                self._append(before, last, data)
        if record.outcome is not None and not self.is_settled and kept.log.last_seq >= record.last_seq:
            kept.end(record.outcome)

    def end_alone(self, outcome: Outcome) -> None:
        """End it where Redis does not know it any more."""
        kept = self.kept
        if self.is_settled:
            return
        if kept.head is None:
            kept.refuse(RelayError("store_unavailable", "The stream is not known any more.", retry_after_seconds=1.0))
            return
        outcome = outcome_for(kept.subject, outcome)
        frame, last = error_frame(kept.subject, kept.head, kept.log.last_seq, outcome)
        if frame:
            kept.append(frame, last)
        kept.end(outcome)

    def burying(self, text: bytes, ttl_ms: int) -> Command:
        """End it in Redis: its producer is dead."""
        subject, last = self.kept.subject, self.record.last_seq
        outcome = outcome_for(subject, RESTARTED)
        frame, _ = error_frame(subject, self.record.head or NEVER_OPENED, last, outcome)
        told = piece(last, last + 1, frame) if frame else b""
        keys = (head_key(subject.id), log_key(subject.id), producer_key(self.record.producer))
        return ("EVAL", text, 3, *keys, ttl_ms, last, told, as_json(outcome), as_json(NEVER_OPENED))

    # What the stream tells its keeper.

    def opened(self, kept: Kept) -> None:
        """Redis has it."""

    def appended(self, kept: Kept, data: bytes, last_seq: int) -> None:
        self._memory.appended(kept, data, last_seq)

    def ended(self, kept: Kept) -> None:
        """Redis has it."""

    def _append(self, before: int, last: int, data: bytes) -> None:
        log = self.kept.log
        if before > log.last_seq:  # what is between is not kept any more
            log.skip_to(before)
        self.kept.append(behind(data, log.last_seq - before), last)

    def _fall_behind(self) -> None:
        """Ask for what is missing, at once or when the slowest reader has made room."""
        if self.kept.is_full:
            self.kept.room = self._has_room
        else:
            self._behind(self)

    def _has_room(self) -> None:
        self.kept.room = None
        self._behind(self)


def outcome_for(subject: Subject, outcome: Outcome) -> Outcome:
    """The outcome as this kind of stream calls it: what is lost of a task is its worker."""
    return LOST if outcome is RESTARTED and subject.route == TASKS.path else outcome


def error_frame(subject: Subject, head: Head, last_seq: int, outcome: Outcome) -> tuple[bytes, int]:
    """The frame that tells why a stream ended, and its number; nothing where its body is no event stream."""
    if not head.is_stream or outcome.error is None:
        return b"", last_seq
    if subject.route == TASKS.path:
        told = Progress(subject.id, "", "en", last_seq=last_seq)
        return told.failed(error_in_stream(outcome.error)), told.last_seq
    dialect = _DIALECTS.get(subject.route, OPENAI)
    return numbered_error(subject.id, last_seq + 1, dialect, outcome.error), last_seq + 1
