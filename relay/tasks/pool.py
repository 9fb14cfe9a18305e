"""The embedded pool: so many tasks at a time, so many that wait, each key in turn."""

from collections.abc import Callable
from typing import Any, Protocol

import gevent
from gevent.event import Event

from relay.core.errors import RelayError
from relay.tasks.fair_queue import FairQueue

# A key's slot may become free without a word: its other requests hold the same ones.
LOOK_SECONDS = 0.25
QUEUE_RETRY_SECONDS = 5.0


class Job(Protocol):
    """A task as the pool sees it. `try_start`: whether its key has a slot for it, which it then holds."""

    @property
    def key_id(self) -> str: ...

    def try_start(self) -> bool: ...

    def run(self) -> None: ...

    def give_back(self) -> None: ...

    def cancel(self, end: str) -> None: ...


class Pool:
    """One per process. `is_closing`: whether the process ends; what waits is told so at once.

    `running`: how many run now.
    """

    def __init__(
        self,
        parallel: int,
        queue_max: int,
        is_closing: Callable[[], bool],
        report: Callable[[str, BaseException], None],
    ) -> None:
        self.bound(parallel, queue_max)
        self._is_closing, self._report = is_closing, report
        self._queue: FairQueue[Any] = FairQueue()
        self._changed = Event()
        self._dispatching = False
        self.running = 0

    def bound(self, parallel: int, queue_max: int) -> None:
        """So many at a time, and so many that wait, from now on."""
        self._parallel, self._queue_max = parallel, queue_max

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    def require_room(self) -> None:
        """Raise RelayError queue_full where one more would have to wait behind too many."""
        if len(self._queue) >= self._queue_max:
            message = f"{self._queue_max} tasks are waiting already."
            raise RelayError("queue_full", message, retry_after_seconds=QUEUE_RETRY_SECONDS)

    def submit(self, job: Job) -> None:
        """Run it when it is its turn. Never waits."""
        self._queue.add(job)
        self._changed.set()
        if not self._dispatching:
            self._dispatching = True
            gevent.spawn(self._dispatch)

    def hurry(self, job: Job) -> None:
        """It is to end: if it still waits, it runs at once, which it notices."""
        if self._queue.remove(job):
            gevent.spawn(self._try, job)

    def _dispatch(self) -> None:
        try:
            while len(self._queue):
                if self._is_closing():
                    self._end_all()
                elif self.running >= self._parallel or not self._start_next():
                    self._changed.clear()
                    self._changed.wait(LOOK_SECONDS)
        finally:
            self._dispatching = False

    def _start_next(self) -> bool:
        """Whether there was one that may run."""
        job = self._queue.next(lambda job: bool(job.try_start()))
        if job is None:
            return False
        if self._queue.take(job):
            self.running += 1
            gevent.spawn(self._run, job)
        else:  # it was cancelled while its slot was asked for
            job.give_back()
        return True

    def _run(self, job: Job) -> None:
        try:
            self._try(job)
        finally:
            self.running -= 1
            self._changed.set()

    def _try(self, job: Job) -> None:
        try:
            job.run()
        except Exception as error:
            self._report("task", error)
        finally:
            job.give_back()

    def _end_all(self) -> None:
        for job in self._queue.all():
            job.cancel("drained")
