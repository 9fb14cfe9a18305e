"""Writes the streams that are made in this process into Redis, for the others: one greenlet, one round trip for all.

It is told by callbacks of the event loop, which only leave a mark. Whoever reads here does not wait for it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event, Lock
from typing import Any

from relay.core.errors import RelayError
from relay.core.kept import Subject
from relay.stores.redis_link import RedisLink, StoreDown
from relay.stores.redis_wire import Command
from relay.stores.stream_copy import Copy, Scripts, Step
from relay.stores.stream_record import asking, head_key, log_key, owner_key, read_record, refusal_as_json

# Redis may take that long for what it is given at once.
WRITE_SECONDS_MAX = 5.0
# What a caller waits for its stream to be known to other processes.
ENTER_SECONDS_MAX = 0.05
# After a write there is a pause in which frames gather: a round trip costs as much as many frames.
GATHER_SECONDS = 0.01
# How much is written at once.
COPIES_MAX = 64
# How many questions make one batch.
STEPS_MAX = 128
# Removals that wait for Redis to be back; what is beyond expires.
REMOVALS_MAX = 10_000
# What is known of a stream that is being made is prolonged that often, and lasts that much longer than it is kept.
PROLONG_SECONDS = 30.0
LIVE_SECONDS = 90.0
# How long those who wait for a stream may take to read why it was refused.
REFUSED_SECONDS = 10.0


class Writer:
    """`keep_seconds`: how long a stream is kept after its end. `producer`: this process' name."""

    def __init__(self, link: RedisLink, producer: str, keep_seconds: float) -> None:
        self._link, self._producer, self.keep_seconds = link, producer, keep_seconds
        self._scripts = Scripts()
        self._turn, self._grown, self._hurried = Lock(), Event(), Event()
        self._marked: dict[Copy, None] = {}
        self._removals: deque[Command] = deque(maxlen=REMOVALS_MAX)
        self._copies: dict[str, Copy] = {}
        self._prolong_at, self._is_closed = 0.0, False

    @property
    def is_down(self) -> bool:
        """Whether waiting for it is pointless now."""
        return self._link.down

    def mark(self, copy: Copy) -> None:
        """There is something to tell. Never waits."""
        self._marked[copy] = None
        self._grown.set()

    def add(self, copy: Copy) -> None:
        """Tell all of it from now on. A new one is told at once: its caller waits for that."""
        self._copies[copy.kept.subject.id] = copy
        self.mark(copy)
        self._hurried.set()

    def enter(self, copy: Copy) -> None:
        """The same, and wait a moment until other processes can know it: it can be made without that."""
        self.add(copy)
        if not self._link.down:
            copy.entered.wait(ENTER_SECONDS_MAX)

    def claiming(self, copy: Copy) -> Command:
        """The question whether its claim is free."""
        return copy.claiming(self._scripts, self._producer, self._live_ms)

    def forgetting(self, subject: Subject, refusal: RelayError | None = None) -> Command:
        """Tell no more of a stream; what removes it from Redis. Those who wait for it are told of the refusal."""
        copy = self._copies.pop(subject.id, None)
        if copy is not None:
            copy.is_over = True
        keys = (head_key(subject.id), log_key(subject.id), owner_key(subject.owner))
        why = b"" if refusal is None else refusal_as_json(refusal)
        return ("EVAL", self._scripts.forget, 3, *keys, subject.id, why, int(REFUSED_SECONDS * 1000))

    def release(self, subject: Subject) -> None:
        """Tell no more of a stream: another process does."""
        copy = self._copies.pop(subject.id, None)
        if copy is not None:
            copy.is_over = True

    def unclaim(self, subject: Subject) -> None:
        """Let its claim be made anew."""
        copy = self._copies.get(subject.id)
        if copy is not None:
            copy.claim = None
        self.later(("EVAL", self._scripts.drop_claim, 1, head_key(subject.id), subject.id))

    def later(self, removal: Command) -> None:
        """Do it behind all that was told before, now or when Redis is back."""
        self._removals.append(removal)
        self._grown.set()

    def run(self) -> None:
        """Write whenever there is something to write, until it is closed."""
        while not self._is_closed:
            self._grown.wait()
            self._grown.clear()
            self._hurried.clear()
            self.flush()
            self._hurried.wait(GATHER_SECONDS)

    def flush(self) -> None:
        """Write what waits. Where Redis does not answer, it is looked up what it knows once it is back."""
        with self._turn:
            if not self._link.down:
                self._write()

    def tend(self, now: float, is_kept: Callable[[str], object]) -> None:
        """Connect again if need be; prolong what is known of live streams when it is time. `now`: seconds."""
        with self._turn:
            self._take(
                [(("PING",), _nothing)]
            )  # a connection that broke while it was idle is noticed before it is used
            if self._link.mend() is not None:
                self._look_what_is_known()
            if now >= self._prolong_at:
                self._prolong_at = now + PROLONG_SECONDS
                self._prolong(is_kept)

    def close(self) -> None:
        """Write what is left."""
        self._is_closed = True
        self._grown.set()
        self._hurried.set()
        self.flush()
        while self._marked and not self._link.down:
            self.flush()
        with self._turn:
            self._link.close()

    @property
    def _live_ms(self) -> int:
        return int((self.keep_seconds + LIVE_SECONDS) * 1000)

    def _write(self) -> None:
        marked, self._marked = self._marked, {}
        removals = list(self._removals)
        self._removals.clear()
        copies = [copy for copy in marked if not copy.is_over][:COPIES_MAX]
        steps = [*self._steps(copies), *((command, _nothing) for command in removals)]
        taken = False
        try:
            taken = self._take(steps)
        finally:
            if not taken:
                self._removals.extendleft(reversed(removals))
        for copy in marked if taken else ():
            if copy.is_behind:
                self.mark(copy)

    def _steps(self, copies: list[Copy]) -> Iterator[Step]:
        """For each stream its beginning, then its next frames, then its end; the frames of all in one command."""
        for copy in copies:
            yield from copy.beginning(self._scripts, self._producer, self._live_ms)
        pieces = {copy: found for copy in copies if (found := copy.next_piece()) is not None}
        if pieces:
            yield self._appending(pieces), partial(_took_pieces, pieces)
        for copy in copies:
            told_seq = pieces[copy][0] if copy in pieces else copy.written_seq
            yield from copy.ending(self._scripts, told_seq, int(self.keep_seconds * 1000))

    def _appending(self, pieces: dict[Copy, tuple[int, bytes]]) -> Command:
        keys = [name for copy in pieces for name in (head_key(copy.kept.subject.id), log_key(copy.kept.subject.id))]
        values = [value for copy, found in pieces.items() for value in (copy.kept.log.evicted_seq, *found)]
        return ("EVAL", self._scripts.append, len(keys), *keys, *values)

    def _take(self, steps: list[Step]) -> bool:
        """Ask, and hand out the replies; return whether Redis answered."""
        try:
            replies = self._link.ask(*(command for command, _ in steps)) if steps else []
        except StoreDown:
            return False
        for (_, take), reply in zip(steps, replies, strict=True):
            take(reply)
        return True

    def _look_what_is_known(self) -> None:
        """After a pause: Redis may have lost all, or have taken what was not confirmed."""
        steps: list[Step] = [(asking(name), partial(_stands, copy)) for name, copy in self._copies.items()]
        if self._take_in_parts(steps):
            for copy in self._copies.values():
                if copy.is_behind:
                    self.mark(copy)
            self._grown.set()

    def _prolong(self, is_kept: Callable[[str], object]) -> None:
        """Forget here what is not kept here any more: Redis forgets it by itself."""
        self._copies = {name: copy for name, copy in self._copies.items() if is_kept(name)}
        live = [copy for copy in self._copies.values() if copy.is_entered and not (copy.is_ended or copy.is_over)]
        self._take_in_parts([(copy.telling(self._scripts, self._live_ms), copy.took) for copy in live])

    def _take_in_parts(self, steps: list[Step]) -> bool:
        parts = (steps[start : start + STEPS_MAX] for start in range(0, len(steps), STEPS_MAX))
        return all(self._take(part) for part in parts)


def _took_pieces(pieces: dict[Copy, tuple[int, bytes]], replies: list[int]) -> None:
    for (copy, (last, _)), known in zip(pieces.items(), replies, strict=True):
        copy.took_piece(last, known)


def _stands(copy: Copy, reply: Any) -> None:
    copy.stands(read_record(reply))


def _nothing(reply: Any) -> None:
    """There is nothing to learn from it."""
