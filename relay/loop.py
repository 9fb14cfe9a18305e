"""What the rooms borrow from the event loop: a native thread pool, and background work that repeats."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

import gevent
from gevent.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")

# SQL waits here, apart from the hub's own pool, where a hanging name server can fill every thread.
THREADS_MAX = 4


class WriterThread:
    """Native threads for writes that may block. A second one only takes over while the first one leaves."""

    def __init__(self) -> None:
        self._threads = ThreadPool(2)

    def spawn(self, work: Callable[[], None]) -> None:
        """Start `work` there, without waiting for it."""
        self._threads.spawn(work)

    def join(self, seconds_max: float) -> None:
        """Wait until all work is done, but no longer than `seconds_max`."""
        with gevent.Timeout(seconds_max, False):
            self._threads.join()


class Loop:
    """One per worker process. `report` is told of background work that failed; the work goes on at its next turn."""

    def __init__(self, report: Callable[[str, BaseException], None]) -> None:
        self._report = report
        self._threads = ThreadPool(THREADS_MAX)
        self._background: list[gevent.Greenlet] = []

    def in_thread(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in a native thread while the loop goes on; return or raise what it returns or raises."""
        return self._threads.apply(work, args, kwargs)  # type: ignore[no-any-return]

    def deadline(self, seconds: float, error: BaseException) -> AbstractContextManager[object]:
        """Return a context that raises `error` when it takes longer than `seconds`."""
        return gevent.Timeout(seconds, error)  # type: ignore[no-any-return]

    def every(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        """Run `work` now and then every `seconds`, in a greenlet of its own."""
        self._background.append(gevent.spawn(self._repeat, seconds, name, work))

    def once(self, name: str, work: Callable[[], object]) -> None:
        """Run `work` now, in a greenlet of its own."""
        self._background.append(gevent.spawn(self._try, name, work))

    def stop(self) -> None:
        """End the background work."""
        gevent.killall(self._background)
        self._background.clear()

    def _repeat(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        while True:
            self._try(name, work)
            gevent.sleep(seconds)

    def _try(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            self._report(name, error)
