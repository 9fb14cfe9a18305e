"""How a stream stands in Redis: the names of its keys, a hash of what is known of it, and pieces of its frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from relay.core.errors import RelayError
from relay.core.kept import Head, Outcome, Subject, Summary
from relay.stores.redis_wire import Command

_FIELDS = ("subject", "producer", "head", "outcome", "refusal", "last_seq", "expires_at")


class _Refusal(msgspec.Struct):
    code: str
    message: str
    param: str | None
    retry_after_seconds: float | None
    extra_headers: tuple[tuple[str, str], ...]
    upstream_status: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """What Redis knows. `producer`: the process that makes it; `expires_at`: UTC epoch seconds, None before its end."""

    subject: Subject
    producer: str
    head: Head | None
    outcome: Outcome | None
    refusal: RelayError | None
    last_seq: int
    expires_at: float | None

    @property
    def summary(self) -> Summary:
        """The same for a list."""
        subject = self.subject
        status = self.outcome.status if self.outcome else "live" if self.head else "opening"
        return Summary(
            subject.id,
            subject.owner,
            subject.route,
            subject.model,
            status,
            subject.created_at,
            self.last_seq,
            self.expires_at,
        )


def log_key(stream_id: str) -> str:
    """The Redis Stream of its frames, and the channel on which they are told: `<last>-0` -> pieces."""
    return f"relay:stream:{stream_id}"


def head_key(stream_id: str) -> str:
    """The hash of what is known of it."""
    return f"relay:stream:{stream_id}:head"


def owner_key(owner: str) -> str:
    """The sorted set of an owner's streams, by when they expire (UTC milliseconds)."""
    return f"relay:streams:{owner}"


def claim_key(claim: str) -> str:
    """Holds `<id> <fingerprint>` of the stream that a claim names."""
    return f"relay:claim:{claim}"


def producer_key(producer: str) -> str:
    """A process' lease; also the channel on which it is told what to cancel and to forget."""
    return f"relay:producer:{producer}"


def asking(stream_id: str) -> Command:
    """The question whose reply `read_record` reads."""
    return ("HMGET", head_key(stream_id), *_FIELDS)


def read_record(reply: Sequence[bytes | None]) -> Record | None:
    """What Redis knows of a stream; None where it knows nothing."""
    subject, producer, head, outcome, refusal, last_seq, expires_at = reply
    if subject is None or producer is None:
        return None
    return Record(
        subject=msgspec.json.decode(subject, type=Subject),
        producer=producer.decode(),
        head=None if head is None else msgspec.json.decode(head, type=Head),
        outcome=None if outcome is None else msgspec.json.decode(outcome, type=Outcome),
        refusal=None if refusal is None else _read_refusal(refusal),
        last_seq=int(last_seq or 0),
        expires_at=None if expires_at is None else float(expires_at),
    )


def as_json(value: Subject | Head | Outcome) -> bytes:
    """A field of the hash."""
    return msgspec.json.encode(value)


def refusal_as_json(error: RelayError) -> bytes:
    """The same for a refusal: what another process needs to refuse likewise."""
    return msgspec.json.encode(msgspec.convert(error, _Refusal, from_attributes=True))


def piece(before: int, last: int, data: bytes) -> bytes:
    """Frames behind number `before`, the last of which is `last`."""
    return b"%d %d\n%b" % (before, last, data)


def read_piece(raw: bytes) -> tuple[int, int, bytes]:
    """The number before the first frame, the number of the last, and the frames."""
    numbers, _, data = raw.partition(b"\n")
    before, last = numbers.split()
    return int(before), int(last), data


def _read_refusal(raw: bytes) -> RelayError:
    known = msgspec.json.decode(raw, type=_Refusal)
    headers, seconds = known.extra_headers, known.retry_after_seconds
    error = RelayError(known.code, known.message, param=known.param, retry_after_seconds=seconds, headers=headers)
    error.upstream_status = known.upstream_status
    return error
