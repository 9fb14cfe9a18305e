"""The queue that several processes share, with the streams of what waits in it; a Redis that is away is a refusal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from relay.core.errors import RelayError
from relay.core.kept import Kept
from relay.core.placed_task import PlacedTask
from relay.core.task_ids import claim_of
from relay.stores.redis_link import StoreDown
from relay.stores.stream_handover import Handover
from relay.stores.task_queue import WORKER_SECONDS, Taken, TaskQueue, full


class SharedQueue:
    """`queue`: in Redis. `handover`: of the streams. `join`: hears from now on what workers are told.

    `clock`: seconds, never set back.
    """

    def __init__(
        self, queue: TaskQueue, handover: Handover, join: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self.queue, self._handover, self.join, self._clock = queue, handover, join, clock
        self._trusted_from = clock() + WORKER_SECONDS

    def has_workers(self) -> bool:
        """Whether a worker lives; while Redis is away nobody can say, and none does."""
        with suppress(StoreDown):
            return self.queue.has_workers()
        return False

    def require_room(self, queue_max: int) -> None:
        """Raise RelayError queue_full, store_unavailable."""
        if self.waiting() >= queue_max:
            raise full(queue_max)

    def waiting(self) -> int:
        """How many wait. Raises RelayError store_unavailable."""
        with _required():
            return self.queue.waiting()

    def put(self, kept: Kept, placed: PlacedTask, queue_max: int) -> bool:
        """Give it away; False where its stream cannot be: then it is still this process'.

        Raises RelayError queue_full, and store_unavailable where nobody can say whether it waits now.
        """
        if not self._handover.write(kept):
            return False
        with _required():
            self.queue.put(kept, placed, queue_max)
        self._handover.release(kept)
        return True

    @contextmanager
    def owned(self, stream_id: str, placed: PlacedTask) -> Iterator[None]:
        """It runs here: if this process dies meanwhile, others say so."""
        with suppress(StoreDown):
            self.queue.own(stream_id, placed)
        try:
            yield
        finally:
            with suppress(StoreDown):
                self.queue.done(stream_id)

    def take_over(self, placed: PlacedTask, stream_id: str) -> Kept | None:
        """Its stream, to go on with here; None where it has ended. Raises RelayError store_unavailable."""
        with _required():
            return self._handover.take_over(stream_id, claim_of(placed.id))

    def release(self, kept: Kept) -> None:
        """It is not this process' any more."""
        self._handover.release(kept)

    def remove(self, kept: Kept) -> PlacedTask | None:
        """The task, if it waited: it does not any more. Raises RelayError store_unavailable."""
        with _required():
            return self.queue.remove(kept.subject.id)

    def tend(self) -> None:
        """Connect again if need be; called every second."""
        if self.queue.tend() is not None:
            self._trusted_from = self._clock() + WORKER_SECONDS

    def close(self) -> None:
        """Give the connection up."""
        self.queue.close()

    def sweep(self, is_lost: Callable[[Taken], Any]) -> None:
        """Look for what dead workers left behind, unless Redis was away so lately that the living may seem dead. Never
        raises for Redis' sake.
        """
        with suppress(StoreDown, RelayError):
            self.queue.prove()
            if self._clock() < self._trusted_from:
                return
            for taken in self.queue.sweep():
                is_lost(taken)


@contextmanager
def _required() -> Iterator[None]:
    try:
        yield
    except StoreDown:
        raise RelayError("store_unavailable", "The queue of tasks does not answer.", retry_after_seconds=1.0) from None
