"""Which streams are made in this process, who waits for them, and what becomes of those that nobody reads."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import gevent
from gevent.event import Event

from relay.core.errors import RelayError
from relay.core.kept import Kept, Subject, Summary
from relay.streams.production import Production, Pump, Work
from relay.streams.task_production import TaskProduction, TaskWork

# How often it is looked who reads; also the least time that a stream is left alone, for a caller between two steps.
LOOK_SECONDS = 0.5


PIECE_BYTES_MAX = 65_536


class Store(Protocol):
    """Where streams are kept: this process' memory, or Redis."""

    keeping: Any

    def claim(self, subject: Subject, claim: str | None) -> tuple[Kept, bool]: ...

    def find(self, stream_id: str) -> Kept | None: ...

    def claimed(self, claim: str) -> Kept | None: ...

    def of_owner(self, owner: str) -> list[Summary]: ...

    def expires_at(self, kept: Kept) -> float | None: ...

    def unclaim(self, kept: Kept) -> None: ...

    def remove(self, kept: Kept) -> None: ...

    def followed_elsewhere(self, all_kept: list[Kept]) -> set[str]: ...

    def ask_to_cancel(self, kept: Kept) -> None: ...

    def close(self) -> None: ...


class WaitingReader:
    """A reader in a greenlet."""

    def __init__(self, after: int) -> None:
        self.cursor, self._grown = after, Event()

    def advance(self) -> None:
        self._grown.set()

    def wait(self) -> None:
        """Until there is more, or it has ended."""
        self._grown.wait()
        self._grown.clear()


class Streams:
    """One per worker. `producing`: the streams that are being made here, by their names."""

    def __init__(
        self, store: Store, pump: Pump, detach_seconds: float, report: Callable[[str, BaseException], None]
    ) -> None:
        self._store, self._pump, self.detach_seconds, self._report = store, pump, detach_seconds, report
        self.producing: dict[str, Production] = {}

    def claim(self, subject: Subject, claim: str | None) -> tuple[Kept, bool]:
        """Return a stream and whether it is new; a new one must be begun. Raises RelayError idempotency_mismatch,
        overloaded, store_unavailable.
        """
        return self._store.claim(subject, claim)

    def begin(self, kept: Kept, work: Work) -> None:
        """Make it, in a greenlet of its own."""
        production = Production(kept, work, self._pump)
        self.producing[kept.subject.id] = production
        gevent.spawn(self._make, production)

    def prepare(self, kept: Kept, work: TaskWork) -> Production:
        """A task that will be made by `make`, and can be cancelled already."""
        production = self.producing[kept.subject.id] = TaskProduction(kept, work, self._pump)
        return production

    def make(self, production: Production, seconds_max: float) -> None:
        """Make it, here and now, within its time."""
        alarm = gevent.spawn_later(seconds_max, production.cancel, "deadline")
        try:
            self._make(production)
        finally:
            alarm.kill()

    def find(self, stream_id: str, owner: str | None) -> Kept:
        """Return this owner's stream; `owner` None: a ticket says whose it is. Raises RelayError stream_not_found, the
        same for a stream that is somebody else's as for one that never was.
        """
        kept = self._store.find(stream_id)
        if kept is None or (owner is not None and kept.subject.owner != owner):
            raise not_found()
        return kept

    def claimed(self, claim: str) -> Kept | None:
        """Return the stream that `claim` names, whoever owns it, or None."""
        return self._store.claimed(claim)

    def of_owner(self, owner: str) -> list[Summary]:
        """All streams of this owner."""
        return self._store.of_owner(owner)

    def expires_at(self, kept: Kept) -> float | None:
        """When it will be forgotten, UTC epoch seconds; None while it is being made."""
        return self._store.expires_at(kept)

    def cancel(self, kept: Kept, end: str = "cancelled") -> None:
        """End it, wherever it is made. Idempotent."""
        production = self.producing.get(kept.subject.id)
        if production is not None:
            production.cancel(end)
        elif kept.outcome is None:
            self._store.ask_to_cancel(kept)

    def cancel_here(self, stream_id: str) -> None:
        """End it if it is made here: another process asks for it."""
        production = self.producing.get(stream_id)
        if production is not None:
            production.cancel("cancelled")

    def forget(self, kept: Kept) -> None:
        """Cancel it and keep nothing of it."""
        self.cancel(kept)
        self._store.remove(kept)

    @contextmanager
    def waiting(self, kept: Kept) -> Iterator[None]:
        """Count as somebody who waits for it."""
        kept.waiting += 1
        try:
            yield
        finally:
            kept.waiting -= 1

    def wait_for_head(self, kept: Kept) -> None:
        """Wait until it can be answered. Raises the RelayError with which it was refused."""
        if kept.head is None and kept.refusal is None and kept.outcome is None:
            opened = Event()
            kept.on_head.append(opened.set)
            with self.waiting(kept):
                opened.wait()
        if kept.refusal is not None:
            raise kept.refusal.copy()

    def keep(self, keeping: Any) -> None:
        """Keep so much for so long from now on."""
        self._store.keeping = keeping

    def close(self) -> None:
        """Write what other processes are to read, and give connections up."""
        self._store.close()

    def collect(self, kept: Kept, bytes_max: int) -> bytes:
        """Return the whole body once it is complete, or its first `bytes_max` bytes."""
        body = b""
        for piece in self.pieces(kept, 0):
            body += piece[: max(0, bytes_max - len(body))]
        return body

    def pieces(self, kept: Kept, after: int) -> Iterator[bytes]:
        """What is kept behind number `after`, and what comes, as an iterable that waits."""
        reader = WaitingReader(after)
        kept.join(reader)
        try:
            while kept.outcome is None or reader.cursor < kept.log.last_seq:
                data, reader.cursor = kept.log.read(reader.cursor, PIECE_BYTES_MAX)
                if data:
                    kept.taken()
                    yield data
                elif kept.outcome is None:
                    reader.wait()
        finally:
            kept.leave(reader)

    def look(self) -> None:
        """Cancel what nobody has read for too long; called every LOOK_SECONDS."""
        alone = [production for production in list(self.producing.values()) if not self._is_attended(production)]
        followed = self._store.followed_elsewhere([production.kept for production in alone]) if alone else set()
        now = time.monotonic()
        for production in alone:
            if production.kept.subject.id in followed:
                production.unattended_since = None
            elif production.unattended_since is None:
                production.unattended_since = now
            elif now - production.unattended_since >= self.detach_seconds:
                production.cancel("client_gone")

    def _is_attended(self, production: Production) -> bool:
        """Whether anybody here reads it, or it is made to its end anyway."""
        if production.kept.is_attended or production.work.detach == "finish":
            production.unattended_since = None
            return True
        return False

    def _make(self, production: Production) -> None:
        kept = production.kept
        try:
            production.run()
        except Exception as error:
            self._report("stream", error)
        finally:
            del self.producing[kept.subject.id]
            if kept.refusal is not None:
                self._store.remove(kept)
            elif kept.head is not None and not _is_good(kept.head.status):
                self._store.unclaim(kept)  # an error is no answer to keep to: asking again may go better


def _is_good(status: int) -> bool:
    return 200 <= status < 300


def not_found() -> RelayError:
    return RelayError("stream_not_found", "There is no such stream.")


def as_facts(summary: Summary, now: float) -> dict[str, Any]:
    """A stream in a list, as JSON."""
    return {
        "id": summary.id,
        "model": summary.model,
        "status": summary.status,
        "age_seconds": round(max(0.0, now - summary.created_at), 3),
        "frames": summary.frames,
        "expires_at": summary.expires_at,
    }
