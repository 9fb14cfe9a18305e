"""Accepted tasks, from the queue to their end: what each is given of the relay's rooms."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from relay.core.credentials import KeyRevoked
from relay.core.errors import RelayError
from relay.core.kept import Head, Kept
from relay.core.placed_task import PlacedTask, messages_in
from relay.core.progress import Progress, percent_in
from relay.core.task_flow import Telling, error_in_stream, in_language
from relay.core.task_ids import claim_of
from relay.core.usage import Usage, cost_usd
from relay.stores.database import StoreError
from relay.stores.task_board import Board
from relay.stores.task_queue import Taken
from relay.tasks.pool import Pool
from relay.tasks.shared_queue import SharedQueue
from relay.tasks.task_job import TaskJob
from relay.tasks.task_work import Corridor, TaskWork

Walk = Callable[[Any, Any, Any], Any]
# What a dead worker left is told within its lease and this.
SWEEP_SECONDS = 2.0
LOST = "worker_lost"


def _nothing() -> None:
    """Nobody else could have it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A task, its stream, and its line in the making. `mark`: called before its upstream is; it may refuse."""

    placed: PlacedTask
    kept: Kept
    record: Any
    mark: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Begun:
    """A task in this process: its job, and what tells of it."""

    job: TaskJob
    work: TaskWork


class Tasks:
    """One per process. `board`: where each task stands; `walk`: the corridor, as far as an upstream's answer.

    `queue`: where tasks wait for workers, if there is one; without any worker they run here.
    """

    def __init__(self, pool: Pool, board: Board, walk: Walk, queue: SharedQueue | None) -> None:
        self.pool, self.board, self._walk, self.queue = pool, board, walk, queue

    def require_room(self, queue_max: int) -> None:
        """Raise RelayError queue_full, store_unavailable."""
        if self.queue is not None and self.queue.has_workers():
            self.queue.require_room(queue_max)
        else:
            self.pool.require_room()

    def place(self, relay: Any, accepted: Accepted, head: Head) -> None:
        """Queue it; its first event is kept when this returns, and nothing was asked of any upstream.

        Raises RelayError queue_full, store_unavailable; then it is not queued.
        """
        queue = self.queue if self.queue is not None and self.queue.has_workers() else None
        placed, kept, progress = accepted.placed, accepted.kept, self._progress(accepted)
        kept.open(head)
        depth = self.pool.waiting if queue is None else queue.waiting()
        kept.append(progress.status("queued", queue_depth=depth), progress.last_seq)
        if queue is None or not queue.put(kept, placed, relay.settings.tasks.queue_max):
            job = self._begin(relay, accepted, progress).job
            job.make = partial(self._make_here, placed, job.make)
            self.pool.submit(job)

    def resume(self, relay: Any, accepted: Accepted) -> Begun:
        """Go on with one that another process accepted."""
        progress = self._progress(accepted)
        progress.percent = percent_in(accepted.kept.log.last_piece())
        return self._begin(relay, accepted, progress)

    def cancel(self, relay: Any, kept: Kept) -> None:
        """End it, wherever it runs or waits. Idempotent. Raises RelayError store_unavailable."""
        placed = None if self.queue is None else self.queue.remove(kept)
        begun = None if placed is None else self._take_over(relay, placed, kept.subject.id)
        if begun is None:
            relay.streams.cancel(kept)
        else:
            begun.job.cancel("cancelled")
            begun.job.run()

    def tend(self) -> None:
        """Connect again where need be; called every second."""
        self.board.tend()
        if self.queue is not None:
            self.queue.tend()

    def close(self) -> None:
        """Tell what is left to tell."""
        self.board.close()
        if self.queue is not None:
            self.queue.close()

    def sweep(self, relay: Any) -> None:
        """End what dead workers left behind; called every SWEEP_SECONDS."""
        if self.queue is not None:
            self.queue.sweep(lambda taken: self._lost(relay, taken))

    def _lost(self, relay: Any, taken: Taken) -> None:
        begun = self._take_over(relay, taken.placed, taken.stream_id)
        if begun is not None:
            relay.streams.producing.pop(taken.stream_id)
            begun.work.lost()
            return
        kept = relay.streams.claimed(claim_of(taken.placed.id))
        if kept is not None and kept.outcome is not None and kept.outcome.error == LOST:
            self._tell_lost(relay, taken.placed)  # its followers noticed before, and told only one another

    def _tell_lost(self, relay: Any, placed: PlacedTask) -> None:
        record, standing = relay.accountant.record_of(placed), self.board.look(placed.id)
        record.status, record.error, record.end = 500, LOST, "truncated"
        relay.accountant.tell(record)
        error = in_language(error_in_stream(LOST), messages_in(placed.language))
        self.board.tell(placed.id, "failed", standing.progress if standing else 0, {"error": error, "stage": "failed"})

    def _make_here(self, placed: PlacedTask, make: Callable[[Any], None], production: Any) -> None:
        """In the process that accepted it; where several share a queue the others know that."""
        with self.queue.owned(production.kept.subject.id, placed) if self.queue else nullcontext():
            make(production)

    def _take_over(self, relay: Any, placed: PlacedTask, stream_id: str) -> Begun | None:
        """None where it has ended meanwhile. Raises RelayError store_unavailable."""
        assert self.queue is not None
        kept = self.queue.take_over(placed, stream_id)
        return None if kept is None else self.resume(relay, Accepted(placed, kept, relay.accountant.record_of(placed)))

    def _progress(self, accepted: Accepted) -> Progress:
        placed, kept = accepted.placed, accepted.kept
        announce = partial(self.board.tell, placed.id)
        return Progress(kept.subject.id, placed.id, placed.language, announce, kept.log.last_seq)

    def _begin(self, relay: Any, accepted: Accepted, progress: Progress) -> Begun:
        placed, kept, record = accepted.placed, accepted.kept, accepted.record
        job = TaskJob(placed.caller, relay.gate)
        admitted = replace(relay, gate=job)

        def walk(request: Any) -> Any:
            accepted.mark()
            return self._walk(admitted, placed.caller, request)

        corridor = Corridor(
            walk=walk,
            require_key=partial(_require_key, relay.keys),
            give_back=job.give_back,
            tell=relay.accountant.tell,
            telling=telling_of(relay, placed, record.begun_at),
            code_points_max=relay.settings.stream.frame_bytes_max,
        )
        work = TaskWork(placed, kept, record, progress, corridor)
        job.request = work.request
        work.hurry = partial(self.pool.hurry, job)
        job.production = relay.streams.prepare(kept, work)
        job.make = partial(relay.streams.make, seconds_max=relay.settings.tasks.seconds_max)
        return Begun(job, work)


def telling_of(relay: Any, placed: PlacedTask, begun_at: float) -> Telling:
    """What the last event tells; `begun_at`: when it was accepted, monotonic seconds."""
    price = relay.settings.models.prices.get(placed.model)

    def cost(usage: Usage) -> float | None:
        return None if price is None else cost_usd(usage, price.input, price.output)

    return Telling(placed.model, begun_at, time.monotonic, iso_now, cost, messages_in(placed.language))


def iso_now() -> str:
    """Now, in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _require_key(keys: Any, names: tuple[str, ...]) -> None:
    """The queue may be long, and nobody watches the keys in it."""
    try:
        revoked = keys.revoked_among(set(names))
    except StoreError:
        raise RelayError("store_unavailable", "The key store cannot be reached.", retry_after_seconds=1.0) from None
    if revoked:
        raise KeyRevoked
