"""Accepted tasks, from the queue to their end: what each is given of the relay's rooms."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from relay.core.credentials import KeyRevoked
from relay.core.errors import RelayError
from relay.core.kept import Head, Kept
from relay.core.placed_task import PlacedTask, messages_in
from relay.core.progress import Progress
from relay.core.task_flow import Telling
from relay.core.usage import Usage, cost_usd
from relay.stores.database import StoreError
from relay.stores.task_board import Board
from relay.tasks.pool import Pool
from relay.tasks.task_job import TaskJob
from relay.tasks.task_work import Corridor, TaskWork

Walk = Callable[[Any, Any, Any], Any]


class Tasks:
    """One per process. `board`: where each task stands; `walk`: the corridor, as far as an upstream's answer."""

    def __init__(self, pool: Pool, board: Board, walk: Walk) -> None:
        self.pool, self.board, self._walk = pool, board, walk

    def require_room(self) -> None:
        """Raise RelayError queue_full."""
        self.pool.require_room()

    def place(self, relay: Any, placed: PlacedTask, kept: Kept, record: Any, head: Head) -> None:
        """Queue it; its first event is kept when this returns, and nothing was asked of any upstream. Never waits."""
        progress = Progress(kept.subject.id, placed.id, placed.language, partial(self.board.tell, placed.id))
        kept.open(head)
        kept.append(progress.status("queued", queue_depth=self.pool.waiting), progress.last_seq)
        self.pool.submit(self._job(relay, placed, kept, record, progress))

    def _job(self, relay: Any, placed: PlacedTask, kept: Kept, record: Any, progress: Progress) -> TaskJob:
        job = TaskJob(placed.caller, relay.gate)
        admitted = replace(relay, gate=job)
        corridor = Corridor(
            walk=partial(self._walk, admitted, placed.caller),
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
        return job


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
