"""Streams that can be resumed in any process and on any host that shares the Redis.

Each process keeps what it makes in its memory, which is the truth while it lives; Redis has the copy for the others,
and says whose a claim is.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from relay.core.errors import RelayError
from relay.core.frame_log import Tally
from relay.core.kept import Kept, Subject, Summary
from relay.stores.redis_link import RedisLink, Report, StoreDown
from relay.stores.redis_listener import Listener
from relay.stores.stream_copy import LEASE_SECONDS, Copy
from relay.stores.stream_listing import Listing
from relay.stores.stream_mirrors import Mirrors
from relay.stores.stream_record import claim_key, log_key, producer_key
from relay.stores.stream_writer import WRITE_SECONDS_MAX, Writer
from relay.stores.streams import Keeping, MemoryStreams, mismatch

# What a caller may wait for one answer of Redis; a history of 4 MiB may be part of it.
ASK_SECONDS_MAX = 1.0
# What a caller waits for a stream without a claim to be known to other processes: it can be made without that.
ENTER_SECONDS_MAX = 0.05
# Of six seconds of lease two renewals may fail.
RENEW_SECONDS = LEASE_SECONDS / 3
# A silence of Redis in which processes may have missed renewals.
SILENCE_SECONDS_MAX = 1.0
_STREAM, _CANCEL, _FORGET = log_key(""), b"cancel", b"forget"


class RedisStreams:
    """`on_cancel`: called with the name of a stream that another process wants ended.

    `background`: what must run for ever, each in a greenlet of its own, beside `tend`.
    """

    def __init__(self, url: str, keeping: Keeping, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._mine, self._clock = MemoryStreams(keeping, clock), clock
        self.producer = secrets.token_hex(8)
        self._link = RedisLink(url, report, ASK_SECONDS_MAX)
        self.writer = Writer(RedisLink(url, report, WRITE_SECONDS_MAX), self.producer, keeping.keep_seconds)
        self.mirrors = Mirrors(self._link, self._mine, clock)
        self.listener = self.mirrors.ear = Listener(url, self._hear, self._joined)
        self.listener.join(producer_key(self.producer))
        self._listing = Listing(self._link)
        self.on_cancel: Callable[[str], None] = lambda stream_id: None
        self._renew_at = 0.0
        self.tend()

    @property
    def background(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        return (
            ("stream writer", self.writer.run),
            ("stream listener", self.listener.run),
            ("stream mirrors", self.mirrors.run),
        )

    @property
    def tally(self) -> Tally:
        return self._mine.tally

    @property
    def keeping(self) -> Keeping:
        return self._mine.keeping

    @keeping.setter
    def keeping(self, keeping: Keeping) -> None:
        self._mine.keeping, self.writer.keep_seconds = keeping, keeping.keep_seconds

    def claim(self, subject: Subject, claim: str | None) -> tuple[Kept, bool]:
        """Return the stream that `claim` names and whether it is new: then the caller must produce or remove it.

        Raises RelayError idempotency_mismatch, overloaded (as in memory), and store_unavailable where it cannot be
        known what the claim names.
        """
        kept, _ = self._mine.claim(subject, None)
        copy = Copy(kept, claim, self._mine, self.writer.mark)
        kept.keeper = copy
        if claim is None:
            self.writer.add(copy)
            if not self.writer.is_down:
                copy.entered.wait(ENTER_SECONDS_MAX)
            return kept, True
        named = self._claim(copy)
        if named is None:
            return kept, True
        return self._known(*named, subject), False

    def find(self, stream_id: str) -> Kept | None:
        """Return the stream of this name, or None. Raises RelayError store_unavailable."""
        with _required():
            return self._mine.find(stream_id) or self.mirrors.find(stream_id)

    def claimed(self, claim: str) -> Kept | None:
        """Return the stream that `claim` names, or None. Raises RelayError store_unavailable."""
        with _required():
            [named] = self._link.ask(("GET", claim_key(claim)))
        return None if named is None else self.find(named.split()[0].decode())

    def of_owner(self, owner: str) -> list[Summary]:
        """All streams of this owner, the newest last. Raises RelayError store_unavailable."""
        with _required():
            return self._listing.of_owner(owner)

    def all(self) -> list[Summary]:
        """All streams of all processes, the newest last. Raises RelayError store_unavailable."""
        with _required():
            return self._listing.all()

    def expires_at(self, kept: Kept) -> float | None:
        """When it will be forgotten, UTC epoch seconds; None while it is being made."""
        mirror = self.mirrors.of(kept)
        return self._mine.expires_at(kept) if mirror is None else mirror.record.expires_at

    def unclaim(self, kept: Kept) -> None:
        """Its claim may be made anew: nothing was delivered for it."""
        self.writer.unclaim(kept.subject)

    def remove(self, kept: Kept) -> None:
        """Forget it, in all processes."""
        mirror = self.mirrors.of(kept)
        self._mine.remove(kept)
        removal = self.writer.forgetting(kept.subject, kept.refusal)
        try:
            self._link.ask(removal)
        except StoreDown:
            self.writer.later(removal)
        if mirror is not None:
            self.mirrors.forget(mirror)
            self._tell(mirror.record.producer, _FORGET, kept)

    def followed_elsewhere(self, all_kept: list[Kept]) -> set[str]:
        """The names of those that other processes read along."""
        with suppress(StoreDown):
            [counts] = self._link.ask(("PUBSUB", "NUMSUB", *(log_key(kept.subject.id) for kept in all_kept)))
            return {kept.subject.id for kept, count in zip(all_kept, counts[1::2], strict=True) if count}
        return set()

    def ask_to_cancel(self, kept: Kept) -> None:
        """Pass a cancel on to the process that makes it. Raises RelayError store_unavailable where that cannot be
        reached; once it is known to be dead, the stream has ended by itself.
        """
        mirror = self.mirrors.of(kept)
        if mirror is not None and not self._tell(mirror.record.producer, _CANCEL, kept) and kept.outcome is None:
            raise _unavailable()

    def tend(self) -> None:
        """Connect where need be, prove that this process lives, forget what is over; called every second."""
        self._mine.tend()
        now = self._clock()
        silent_seconds = self._link.mend()
        self.writer.tend(now, self._mine.find)
        with suppress(StoreDown):
            if silent_seconds is not None or now >= self._renew_at:
                self._link.ask(("SET", producer_key(self.producer), 1, "PX", int(LEASE_SECONDS * 1000)))
                self._renew_at = now + RENEW_SECONDS
            if silent_seconds is not None:
                self.mirrors.return_of_redis(LEASE_SECONDS if silent_seconds > SILENCE_SECONDS_MAX else 0.0)
            self.mirrors.tend()

    def close(self) -> None:
        """Write what is left, and give the connections up."""
        self.writer.close()
        self.listener.close()
        with suppress(StoreDown):
            self._link.ask(("DEL", producer_key(self.producer)))
        self._link.close()

    def _claim(self, copy: Copy) -> tuple[str, str] | None:
        """Ask whose the claim is: None where it is this stream's now. Raises RelayError store_unavailable."""
        try:
            with _required():
                [named] = self._link.ask(self.writer.claiming(copy))
        except BaseException:  # it may have been entered without our hearing of it
            self._mine.remove(copy.kept)
            self.writer.later(self.writer.forgetting(copy.kept.subject))
            raise
        if named is None:
            copy.took_entry(None)
            self.writer.add(copy)
            return None
        self._mine.remove(copy.kept)
        stream_id, fingerprint = named
        return stream_id.decode(), fingerprint.decode()

    def _known(self, stream_id: str, fingerprint: str, subject: Subject) -> Kept:
        if fingerprint != subject.fingerprint:
            raise mismatch()
        kept = self.find(stream_id)
        if kept is None:  # forgotten in this moment: asking again makes a new one
            raise _unavailable()
        return kept

    def _tell(self, producer: str, what: bytes, kept: Kept) -> bool:
        """Say it to that process; return whether it heard. Raises RelayError store_unavailable."""
        with _required():
            [heard] = self._link.ask(("PUBLISH", producer_key(producer), what + b" " + kept.subject.id.encode()))
        return bool(heard)

    def _joined(self, channel: str) -> None:
        if channel.startswith(_STREAM):
            self.mirrors.joined(channel.removeprefix(_STREAM))

    def _hear(self, channel: str, said: bytes) -> None:
        if channel.startswith(_STREAM):
            self.mirrors.hear(channel.removeprefix(_STREAM), said)
            return
        what, _, name = said.partition(b" ")
        kept = self._mine.find(name.decode())
        if kept is not None:
            self.on_cancel(kept.subject.id)
            if what == _FORGET:
                self.remove(kept)


@contextmanager
def _required() -> Iterator[None]:
    """What cannot be done without Redis."""
    try:
        yield
    except StoreDown:
        raise _unavailable() from None


def _unavailable() -> RelayError:
    return RelayError("store_unavailable", "The store of streams does not answer.", retry_after_seconds=1.0)


def open_streams(redis_url: str, keeping: Keeping, report: Report) -> MemoryStreams | RedisStreams:
    """Return the streams of this process; without a URL in its memory alone. Called inside the worker.

    `report` is told once whenever Redis goes away. Never raises for Redis' sake.
    """
    return RedisStreams(redis_url, keeping, report) if redis_url else MemoryStreams(keeping)
