"""This process' one connection to Redis, shared by whoever asks: a time budget, and no asking while it is down.

Questions that come up while another is under way leave together as one batch, so that a burst of requests costs a few
round trips instead of a connection each. A connection that failed is dropped and nobody waits for a new one: it is made
in the background, by `mend()`.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.exceptions import TimeoutError as RedisTimeoutError

from relay.stores.redis_wire import Command, Wire

# What a request may wait for one answer. Redis itself takes well below a millisecond.
OPERATION_SECONDS_MAX = 0.05
# Keeps the answers to one batch within what a socket buffers.
BATCH_QUESTIONS_MAX = 128

Report = Callable[[str, BaseException], None]


class StoreDown(Exception):
    """Redis was not asked, or did not answer in time, or refused. `asked`: it may have done what it was asked for."""

    def __init__(self, asked: bool) -> None:
        super().__init__("Redis does not answer")
        self.asked = asked


@dataclass(slots=True, eq=False)
class _Question:
    commands: Sequence[Command]
    asked: bool = False
    replies: list[Any] | None = None


class RedisLink:
    """Built inside the worker, down until the first `mend()`. `report` is told once whenever the link goes down."""

    def __init__(self, url: str, report: Report, seconds_max: float = OPERATION_SECONDS_MAX) -> None:
        self._new_wire, self._report = partial(Wire, url, seconds_max), report
        self._wire: Wire | None = None
        self._turn = threading.Lock()
        self._waiting: list[_Question] = []
        self._answered_at = time.monotonic()
        self._reported = self._cut = False

    @property
    def down(self) -> bool:
        """Whether asking is pointless now."""
        return self._wire is None

    def ask(self, *commands: Command) -> list[Any]:
        """Return the replies, one per command, in order. Raises StoreDown, at the latest when the budget is used up."""
        if self._wire is None:
            raise StoreDown(asked=False)
        question = _Question(commands)
        self._waiting.append(question)
        try:
            with self._turn:
                while not question.asked:
                    self._ask_together()
        except BaseException:
            if not question.asked:
                self._waiting.remove(question)
            raise
        if question.replies is None:
            raise StoreDown(asked=True)
        return question.replies

    def mend(self) -> float | None:
        """Connect if the link is down. Never raises.

        Returns None if it was not down or still is, else for how many seconds Redis had not answered: infinitely many
        where it may have been restarted and have lost what it knew.
        """
        if self._wire is not None:
            return None
        wire = self._new_wire()
        try:
            wire.connect()
            # a write, because a full disk or memory, or a replica, still answers to reads
            wire.converse([("SET", "relay:probe", 1, "PX", 1000)])
        except Exception as error:
            self._drop(wire, error)
            return None
        now = time.monotonic()
        silent_seconds = math.inf if self._cut else now - self._answered_at
        self._wire, self._answered_at, self._reported, self._cut = wire, now, False, False
        return silent_seconds

    def close(self) -> None:
        """Give the connection up."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _ask_together(self) -> None:
        """Send what waits, and hand out the replies. The caller has the turn."""
        batch = self._waiting[:BATCH_QUESTIONS_MAX]
        del self._waiting[:BATCH_QUESTIONS_MAX]
        for question in batch:
            question.asked = True
        if self._wire is None:
            return
        wire = self._wire
        try:
            replies = iter(wire.converse([command for question in batch for command in question.commands]))
        except Exception as error:
            self._drop(wire, error)
            return
        except BaseException as error:  # killed in between: the next one would read the answers meant for this one
            self._drop(wire, error)
            raise
        self._answered_at = time.monotonic()
        for question in batch:
            question.replies = [next(replies) for _ in question.commands]

    def _drop(self, wire: Wire, error: BaseException) -> None:
        if self._wire is wire:
            self._wire = None
        wire.close()
        if not self._reported:
            self._report("redis", error)
        self._reported = True
        self._cut |= not isinstance(error, TimeoutError | RedisTimeoutError)
