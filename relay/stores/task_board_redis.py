"""Where each task stands, in Redis: a hash for who asks later, and then a message for who listens now.

`task:<id>:status` holds stage, progress and updated_at; on `task:<id>:progress` each step is published as JSON.
"""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event

import msgspec

from relay.stores.redis_link import RedisLink, Report, StoreDown
from relay.stores.redis_wire import Command
from relay.stores.task_board import Standing

# What a caller may wait for one answer, and the background for one batch.
ASK_SECONDS_MAX = 1.0
# A task may wait and run for so long after its last step.
LIVE_SECONDS = 3600.0
# Steps that wait for Redis; beyond it the oldest are not told.
STEPS_MAX = 10_000
# How many leave in one round trip.
BATCH_STEPS = 64
# After a round trip there is a pause in which steps gather.
GATHER_SECONDS = 0.01
ENDED = ("complete", "failed")


class RedisBoard:
    """`keep_seconds`: after a task's end. `clock`: UTC epoch seconds. Built inside the worker."""

    def __init__(self, url: str, keep_seconds: float, report: Report, clock: Callable[[], float]) -> None:
        self._link, self.keep_seconds, self._clock = RedisLink(url, report, ASK_SECONDS_MAX), keep_seconds, clock
        self._steps: deque[list[Command]] = deque(maxlen=STEPS_MAX)
        self._grown, self._pause = Event(), Event()
        self.tend()

    @property
    def background(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        """What must run for ever, beside `tend`."""
        return (("task board", self.run),)

    def tell(self, task_id: str, stage: str, progress: int, fields: Mapping[str, object]) -> None:
        """It has come so far. Never waits, never raises."""
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {**fields, "task_id": task_id, "stage": stage, "progress": progress, "timestamp": at}
        known_seconds = self.keep_seconds + (0.0 if stage in ENDED else LIVE_SECONDS)
        self._steps.append(
            [
                ("HSET", status_key(task_id), "stage", stage, "progress", str(progress), "updated_at", at),
                ("PEXPIRE", status_key(task_id), int(known_seconds * 1000)),
                ("PUBLISH", channel(task_id), msgspec.json.encode(told)),
            ]
        )
        self._grown.set()

    def look(self, task_id: str) -> Standing | None:
        """Where it stands; None where nothing is known, or Redis is away."""
        with suppress(StoreDown):
            [reply] = self._link.ask(("HMGET", status_key(task_id), "stage", "progress", "updated_at"))
            stage, progress, updated_at = reply
            if stage is not None and progress is not None and updated_at is not None:
                moment = datetime.fromisoformat(updated_at.decode())
                return Standing(stage.decode(), int(progress), moment.timestamp())
        return None

    def run(self) -> None:
        """Write whatever waits, for ever."""
        while True:
            self._grown.wait()
            self._grown.clear()
            self.flush()
            self._pause.wait(GATHER_SECONDS)

    def flush(self) -> None:
        """Write what waits, in its order; while Redis is away it goes on waiting."""
        while self._steps and not self._link.down:
            batch = [self._steps.popleft() for _ in range(min(BATCH_STEPS, len(self._steps)))]
            try:
                self._link.ask(*(command for step in batch for command in step))
            except BaseException as error:
                self._steps.extendleft(reversed(batch))
                if not isinstance(error, StoreDown):
                    raise
                return

    def tend(self) -> None:
        """Connect again if need be; called every second."""
        if self._link.mend() is not None:
            self._grown.set()

    def close(self) -> None:
        """Write what is left, and give the connection up."""
        self.flush()
        self._link.close()


def status_key(task_id: str) -> str:
    """The hash of where it stands."""
    return f"task:{task_id}:status"


def channel(task_id: str) -> str:
    """Where its steps are published."""
    return f"task:{task_id}:progress"
