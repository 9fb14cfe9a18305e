"""Streams that can be resumed in any process and on any host that shares the Redis.

Each process keeps what it makes in its memory, which is the truth while it lives; Redis has the copy for the others,
and says whose a claim is.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from relay.core.frame_log import Tally
from relay.core.kept import Kept, Subject, Summary
from relay.stores.redis_link import RedisLink, Report, StoreDown
from relay.stores.redis_listener import Listener
from relay.stores.stream_claims import Claims, required, unavailable
from relay.stores.stream_copy import LEASE_SECONDS, Copy
from relay.stores.stream_handover import Handover
from relay.stores.stream_listing import Listing
from relay.stores.stream_mirrors import Mirrors
from relay.stores.stream_record import log_key, producer_key
from relay.stores.stream_writer import WRITE_SECONDS_MAX, Writer
from relay.stores.streams import Keeping, MemoryStreams

# What a caller may wait for one answer of Redis; a history of 4 MiB may be part of it.
ASK_SECONDS_MAX = 1.0
# In which every process has noticed that Redis is back, and told it what it makes.
SETTLE_SECONDS = 3.0
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
        self.handover = Handover(self._link, self._mine, self.writer)
        self.mirrors = Mirrors(self._link, self._mine, clock)
        self.listener = self.mirrors.ear = Listener(url, self._hear, self._joined)
        self.listener.join(producer_key(self.producer))
        self._listing, self._claims = Listing(self._link), Claims(self._link, self.writer)
        self.on_cancel: Callable[[str], None] = lambda stream_id: None
        self.tend()
        self._settled_at = 0.0  # nothing was away

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
        kept.keeper = copy = Copy(kept, claim, self._mine, self.writer.mark)
        if claim is None:
            self.writer.enter(copy)
            return kept, True
        try:
            named = self._claims.claim(copy)
        except BaseException:
            self._mine.remove(kept)
            raise
        if named is None:
            return kept, True
        self._mine.remove(kept)
        found = self.find(named)
        if found is None:  # forgotten in this moment: asking again makes a new one
            raise unavailable()
        return found, False

    def find(self, stream_id: str) -> Kept | None:
        """Return the stream of this name, or None. Raises RelayError store_unavailable, also where another process may
        not have entered it yet because Redis was away.
        """
        with required():
            kept = self._mine.find(stream_id) or self.mirrors.find(stream_id)
        if kept is None and self._clock() < self._settled_at:
            raise unavailable()
        return kept

    def claimed(self, claim: str) -> Kept | None:
        """Return the stream that `claim` names, or None. Raises RelayError store_unavailable."""
        named = self._claims.look(claim)
        return None if named is None else self.find(named)

    def of_owner(self, owner: str) -> list[Summary]:
        """All streams of this owner, the newest last. Raises RelayError store_unavailable."""
        with required():
            return self._listing.of_owner(owner)

    def all(self) -> list[Summary]:
        """All streams of all processes, the newest last. Raises RelayError store_unavailable."""
        with required():
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
            raise unavailable()

    def tend(self) -> None:
        """Connect where need be, prove that this process lives, forget what is over; called every second."""
        self._mine.tend()
        self._prove_life()  # and notice whether the connection, idle for long, still is one
        silent_seconds = self._link.mend()
        self.writer.tend(self._clock(), self._mine.find)
        with suppress(StoreDown):
            if silent_seconds is not None:
                self._prove_life()
                self._settled_at = self._clock() + SETTLE_SECONDS
                self.mirrors.return_of_redis(LEASE_SECONDS if silent_seconds > SILENCE_SECONDS_MAX else 0.0)
            self.mirrors.tend()

    def close(self) -> None:
        """Write what is left, and give the connections up."""
        self.writer.close()
        self.listener.close()
        with suppress(StoreDown):
            self._link.ask(("DEL", producer_key(self.producer)))
        self._link.close()

    def _prove_life(self) -> None:
        with suppress(StoreDown):
            self._link.ask(("SET", producer_key(self.producer), 1, "PX", int(LEASE_SECONDS * 1000)))

    def _tell(self, producer: str, what: bytes, kept: Kept) -> bool:
        """Say it to that process; return whether it heard. Raises RelayError store_unavailable."""
        with required():
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


def open_streams(redis_url: str, keeping: Keeping, report: Report) -> MemoryStreams | RedisStreams:
    """Return the streams of this process; without a URL in its memory alone. Called inside the worker.

    `report` is told once whenever Redis goes away. Never raises for Redis' sake.
    """
    return RedisStreams(redis_url, keeping, report) if redis_url else MemoryStreams(keeping)
