"""What the rooms borrow from the event loop: a native thread pool, and background work that repeats."""

import time
from _queue import SimpleQueue  # the native one: it never touches a greenlet
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, ParamSpec, TypeVar

import gevent
from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")

# SQL waits here, apart from the hub's own pool, where a hanging name server can fill every thread.
THREADS_MAX = 4
# A caller with four connections is refused 80 times a second instead of a thousand times.
HOLD_BACK_SECONDS = 0.05


# Work waits a moment for more of its kind: waking a thread costs more than many lines.
GATHER_SECONDS = 0.05


class WriterThread:
    """One native thread for writes that may block. Taking on work never waits, not even in the loop's own callbacks."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._begun = self._done = 0

    def spawn(self, work: Callable[[], None]) -> None:
        """Have `work` done, after what was given before."""
        if not self._begun:
            get_original("_thread", "start_new_thread")(self._run, ())
        self._begun += 1
        self._work.put(work)

    def join(self, seconds_max: float) -> None:
        """Wait until all work is done, but no longer than `seconds_max`."""
        deadline = time.monotonic() + seconds_max
        while self._done < self._begun and time.monotonic() < deadline:
            gevent.sleep(0.005)

    def pause(self) -> None:
        """Wait a moment, in this thread; or not, where the clock jumps so that the system refuses."""
        with suppress(OSError):
            get_original("time", "sleep")(GATHER_SECONDS)

    def _run(self) -> None:
        while True:
            work = self._work.get()
            self.pause()
            with suppress(Exception):  # nobody could be told, and the next work has done nothing
                work()
            self._done += 1


class Loop:
    """One per worker process. `report` is told of background work that failed; the work goes on at its next turn."""

    def __init__(self, report: Callable[[str, BaseException], None]) -> None:
        self._report = report
        self._threads = ThreadPool(THREADS_MAX)
        self._background: list[gevent.Greenlet] = []

    def in_thread(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in a native thread while the loop goes on; return or raise what it returns or raises."""
        result, error = self._threads.apply(_outcome, (work, args, kwargs))
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def hold_back(self) -> None:
        """Let a caller that asked too often wait for its refusal: who asks again at once would cost all others time."""
        gevent.sleep(HOLD_BACK_SECONDS)

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


def _outcome(work: Callable[..., T], args: Any, kwargs: Any) -> tuple[T | None, Exception | None]:
    """What it returned or raised; gevent's thread pool would print every failure, expected or not."""
    try:
        return work(*args, **kwargs), None
    except Exception as error:
        return None, error
