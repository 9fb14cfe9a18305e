"""Streams that other processes make, for those who read them here: their history from Redis, then what is published.

A mirror lives as long as somebody here reads or waits, and a few seconds more.
"""

import time
from collections.abc import Callable, Iterable
from threading import Event
from typing import Protocol

from relay.core.kept import Kept
from relay.stores.redis_link import RedisLink, StoreDown
from relay.stores.redis_wire import script
from relay.stores.stream_copy import LEASE_SECONDS
from relay.stores.stream_mirror import CANCELLED, RESTARTED, Mirror
from relay.stores.stream_record import asking, log_key, producer_key, read_record
from relay.stores.streams import MemoryStreams

# A mirror that nobody needs is dropped after so long: a caller between two steps has found it and not yet joined.
IDLE_SECONDS = 3.0
# Pieces that are asked for at once: a megabyte, for which a second is enough over a distance too.
PAGE = 16
GONE = b"gone"


class Ear(Protocol):
    """What hears the channels of streams."""

    def join(self, channel: str) -> None: ...

    def leave(self, channel: str) -> None: ...


class Mirrors:
    """`memory`: with whose streams they share the room; `ear`: set before the first is found.

    `trusted_from`: before that time a lease that is not there says nothing, for its process was cut off as we were.
    """

    ear: Ear

    def __init__(self, link: RedisLink, memory: MemoryStreams, clock: Callable[[], float] = time.monotonic) -> None:
        self._link, self._memory, self._clock = link, memory, clock
        self._end_orphan = script("end_orphan")
        self._mirrors: dict[str, Mirror] = {}
        self._behind: dict[Mirror, None] = {}
        self._fell_behind = Event()
        self.trusted_from = 0.0

    def find(self, stream_id: str) -> Kept | None:
        """Return the stream with all that Redis knows of it now, to be followed; None where it knows none.

        Raises StoreDown.
        """
        mirror = self._mirrors.get(stream_id)
        if mirror is None:
            record = read_record(self._link.ask(asking(stream_id))[0])
            if record is None:
                return None
            mirror = self._mirrors.get(stream_id) or self._add(Mirror(
                record, self._memory.keeping.stream_bytes_max, self._memory.tally, self._memory, self._mark
            ))  # fmt: skip
        mirror.needed_at = self._clock()
        self._catch_up(mirror)
        self._bury([mirror])
        return mirror.kept

    def of(self, kept: Kept) -> Mirror | None:
        """The mirror of a stream that is not ours."""
        return kept.keeper if isinstance(kept.keeper, Mirror) else None

    def hear(self, stream_id: str, said: bytes) -> None:
        """Take what is published about a stream: its next frames, or that there is something to look at."""
        mirror = self._mirrors.get(stream_id)
        if mirror is None:
            return
        if said == GONE:
            self.forget(mirror)
        elif said:
            mirror.hear(said)
        else:
            self._mark(mirror)

    def forget(self, mirror: Mirror) -> None:
        """It was removed: who reads it is told that it was cancelled, and nobody finds it any more."""
        mirror.end_alone(CANCELLED)
        if self._mirrors.pop(mirror.kept.subject.id, None) is not None:
            self.ear.leave(log_key(mirror.kept.subject.id))
            mirror.kept.forget()

    def joined(self, stream_id: str) -> None:
        """From now on all is heard that is published about it; what was before that may be missing."""
        mirror = self._mirrors.get(stream_id)
        if mirror is not None:
            self._mark(mirror)

    def run(self) -> None:
        """Fetch what mirrors have missed, for ever."""
        while True:
            self._fell_behind.wait()
            self._fell_behind.clear()
            self.catch_up()

    def catch_up(self) -> None:
        """Fetch what mirrors have missed, unless Redis is away: then they are told when it is back."""
        while self._behind:
            behind, self._behind = self._behind, {}
            for mirror in behind:
                try:
                    self._catch_up(mirror)
                except StoreDown:
                    return

    def return_of_redis(self, distrust_seconds: float) -> None:
        """It was away for a while; for so long a lease that is not there says nothing."""
        self.trusted_from = max(self.trusted_from, self._clock() + distrust_seconds)
        for mirror in self._mirrors.values():
            self._mark(mirror)

    def tend(self) -> None:
        """Drop what nobody needs, and end what has lost its producer. Raises StoreDown."""
        now = self._clock()
        for mirror in list(self._mirrors.values()):
            if mirror.kept.is_attended:
                mirror.needed_at = now
            if now - mirror.needed_at >= IDLE_SECONDS:
                self._drop(mirror)
            elif mirror.missing_since is not None:
                self._miss(mirror, now - mirror.missing_since)
        self._bury(self._mirrors.values())

    def _add(self, mirror: Mirror) -> Mirror:
        stream_id = mirror.kept.subject.id
        self._mirrors[stream_id] = mirror
        self.ear.join(log_key(stream_id))
        return mirror

    def _drop(self, mirror: Mirror) -> None:
        stream_id = mirror.kept.subject.id
        del self._mirrors[stream_id]
        self.ear.leave(log_key(stream_id))
        mirror.kept.log.skip_to(mirror.kept.log.last_seq + 1)  # whoever joins after all is sent away instead of hanging

    def _mark(self, mirror: Mirror) -> None:
        """Never waits."""
        self._behind[mirror] = None
        self._fell_behind.set()

    def _catch_up(self, mirror: Mirror) -> None:
        stream_id, log, count = mirror.kept.subject.id, mirror.kept.log, PAGE
        while count == PAGE and not mirror.is_settled and not mirror.kept.is_full:
            page = ("XRANGE", log_key(stream_id), f"({log.last_seq}", "+", "COUNT", PAGE)
            reply, entries = self._link.ask(asking(stream_id), page)
            record, count = read_record(reply), len(entries)
            if record is None:
                mirror.missing_since = mirror.missing_since or self._clock()
                return
            mirror.take(record, (fields[1] for _, fields in entries))

    def _miss(self, mirror: Mirror, seconds: float) -> None:
        """Its producer, if it lives, enters it again; it knows of the loss about as soon as we."""
        if seconds >= LEASE_SECONDS:
            mirror.end_alone(RESTARTED)
        else:
            self._mark(mirror)

    def _bury(self, mirrors: Iterable[Mirror]) -> None:
        """End those whose producer's lease is over, for all processes."""
        live = [mirror for mirror in mirrors if not mirror.is_settled]
        producers = list({mirror.record.producer for mirror in live})
        if not producers or self._clock() < self.trusted_from:
            return
        leases = self._link.ask(*(("EXISTS", producer_key(producer)) for producer in producers))
        dead = {producer for producer, lease in zip(producers, leases, strict=True) if not lease}
        for mirror in live:
            if mirror.record.producer in dead:
                self._catch_up(mirror)
                self._link.ask(mirror.burying(self._end_orphan, int(self._memory.keeping.keep_seconds * 1000)))
                self._catch_up(mirror)
