"""Tasks that wait for a worker, in Redis: each key in turn; every step is one script, so that none is run twice."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from relay.core.errors import RelayError
from relay.core.kept import Kept
from relay.core.placed_task import PlacedTask
from relay.stores.redis_link import RedisLink, Report
from relay.stores.redis_wire import script
from relay.stores.stream_record import head_key, producer_key

WAITING, TAKEN, RING, LISTS = "relay:tasks:waiting", "relay:tasks:taken", "relay:tasks:keys", "relay:tasks:of:"
# The producer of streams whose task waits: any process keeps its lease.
NOBODY = "tasks"
# Exists while a worker lives.
WORKERS = "relay:tasks:workers"
WORKER_SECONDS = 6.0
# What is known of a task that waits outlasts a pause of all processes by so much.
WAITING_SECONDS = 3600.0
ASK_SECONDS_MAX = 1.0
QUEUE_RETRY_SECONDS = 5.0
FULL, UNKNOWN = -1, -2


@dataclass(frozen=True, slots=True)
class Taken:
    """A task and the stream that its events are kept in."""

    stream_id: str
    placed: PlacedTask


class Scripts:
    """What Redis runs for the queue."""

    def __init__(self) -> None:
        self.put, self.take, self.give_back = script("put_task"), script("take_task"), script("return_task")
        self.begin, self.sweep = script("begin_task"), script("sweep_tasks")


class TaskQueue:
    """`worker`: this process' name, whose lease its streams prove. Each method but `tend` raises StoreDown."""

    def __init__(self, url: str, worker: str, report: Report) -> None:
        self._link, self._worker, self._scripts = RedisLink(url, report, ASK_SECONDS_MAX), worker, Scripts()
        self.tend()

    @property
    def is_down(self) -> bool:
        """Whether asking is pointless now."""
        return self._link.down

    def has_workers(self) -> bool:
        """Whether somebody would take a task."""
        [lives] = self._link.ask(("EXISTS", WORKERS))
        return bool(lives)

    def waiting(self) -> int:
        """How many wait."""
        [count] = self._link.ask(("HLEN", WAITING))
        return int(count)

    def put(self, kept: Kept, placed: PlacedTask, queue_max: int) -> None:
        """Queue it, and give its stream away. Raises RelayError queue_full, store_unavailable."""
        stream_id, key_id = kept.subject.id, placed.caller.key_id
        keys = (head_key(stream_id), WAITING, LISTS + key_id, RING)
        values = (stream_id, key_id, msgspec.json.encode(placed), queue_max, NOBODY)
        [depth] = self._link.ask(("EVAL", self._scripts.put, 4, *keys, *values))
        if depth == FULL:
            raise full(queue_max)
        if depth == UNKNOWN:
            raise RelayError("store_unavailable", "The store of streams does not answer.", retry_after_seconds=1.0)

    def take(self, passed_over: Iterable[str]) -> Taken | None:
        """The next key's first task, but for keys that are passed over; it is this process' now."""
        keys = (WAITING, RING, TAKEN)
        [found] = self._link.ask(("EVAL", self._scripts.take, 3, *keys, self._worker, LISTS, *passed_over))
        return None if found is None else _taken(*found)

    def own(self, stream_id: str, placed: PlacedTask) -> None:
        """It runs here without having waited there; where this process dies it is lost, and not run again."""
        task = msgspec.json.encode(msgspec.structs.replace(placed, retry=False)).decode()
        known = {"worker": self._worker, "key": placed.caller.key_id, "begun": True, "task": task}
        self._link.ask(("HSET", TAKEN, stream_id, msgspec.json.encode(known)))

    def give_back(self, stream_id: str) -> None:
        """It cannot run now: it waits again."""
        self._link.ask(("EVAL", self._scripts.give_back, 3, WAITING, RING, TAKEN, stream_id, self._worker, LISTS))

    def begin(self, stream_id: str) -> bool:
        """Its upstream is about to be called; False where it is not this process' any more."""
        [ours] = self._link.ask(("EVAL", self._scripts.begin, 1, TAKEN, stream_id, self._worker))
        return bool(ours)

    def done(self, stream_id: str) -> None:
        """It has ended."""
        self._link.ask(("HDEL", TAKEN, stream_id))

    def remove(self, stream_id: str) -> PlacedTask | None:
        """It waits no more: return it; None where it did not. Its place in its key's list is passed over later."""
        task, was_waiting = self._link.ask(("HGET", WAITING, stream_id), ("HDEL", WAITING, stream_id))
        return msgspec.json.decode(task, type=PlacedTask) if was_waiting else None

    def sweep(self) -> list[Taken]:
        """Put back what a dead worker had not begun, and return what is lost; nobody else is told of it."""
        prefix, _, suffix = head_key("\0").partition("\0")
        values = (LISTS, producer_key(""), prefix, suffix, int(WAITING_SECONDS * 1000))
        [found] = self._link.ask(("EVAL", self._scripts.sweep, 3, WAITING, RING, TAKEN, *values))
        return [_taken(*pair) for pair in zip(found[::2], found[1::2], strict=True)]

    def announce(self) -> None:
        """A worker lives here."""
        self._link.ask(("SET", WORKERS, 1, "PX", int(WORKER_SECONDS * 1000)))

    def prove(self) -> None:
        """Keep the lease of what waits."""
        self._link.ask(("SET", producer_key(NOBODY), 1, "PX", int(WORKER_SECONDS * 1000)))

    def tend(self) -> float | None:
        """Connect again if need be: for how many seconds Redis had been silent then. Never raises."""
        return self._link.mend()

    def close(self) -> None:
        """Give the connection up."""
        self._link.close()


def full(queue_max: int) -> RelayError:
    message = f"{queue_max} tasks are waiting already."
    return RelayError("queue_full", message, retry_after_seconds=QUEUE_RETRY_SECONDS)


def _taken(stream_id: bytes, task: bytes) -> Taken:
    return Taken(stream_id.decode(), msgspec.json.decode(task, type=PlacedTask))
