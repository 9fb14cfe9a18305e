"""Where each task stands, for those who ask: the last that was told of it, in the memory of one process."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Standing:
    """`progress`: percent; `updated_at`: UTC epoch seconds."""

    stage: str
    progress: int
    updated_at: float


class Board(Protocol):
    """What is told of tasks. `tell` never waits and never raises. `background`: what must run for ever, beside `tend`,
    which is called every second.
    """

    keep_seconds: float

    @property
    def background(self) -> tuple[tuple[str, Callable[[], None]], ...]: ...

    def tell(self, task_id: str, stage: str, progress: int, fields: Mapping[str, object]) -> None: ...

    def look(self, task_id: str) -> Standing | None: ...

    def tend(self) -> None: ...

    def close(self) -> None: ...


class MemoryBoard:
    """`keep_seconds`: after the last that was told. `clock`: UTC epoch seconds."""

    background: tuple[tuple[str, Callable[[], None]], ...] = ()

    def __init__(self, keep_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self.keep_seconds, self._clock = keep_seconds, clock
        self._standings: OrderedDict[str, Standing] = OrderedDict()

    def tell(self, task_id: str, stage: str, progress: int, fields: Mapping[str, object]) -> None:
        """It has come so far."""
        now = self._clock()
        self._standings[task_id] = Standing(stage, progress, now)
        self._standings.move_to_end(task_id)
        self._forget(now)

    def look(self, task_id: str) -> Standing | None:
        """Where it stands, or None where nothing is known."""
        return self._standings.get(task_id)

    def tend(self) -> None:
        """There is nothing to connect to."""

    def close(self) -> None:
        """Nothing is open here."""

    def _forget(self, now: float) -> None:
        while self._standings:
            task_id, oldest = next(iter(self._standings.items()))
            if now - oldest.updated_at <= self.keep_seconds:
                return
            del self._standings[task_id]
