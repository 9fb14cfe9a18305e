"""The limits of several processes, as far as Redis can tell, within the test's own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from relay.stores.redis_link import RedisLink
from relay.stores.shared import TEND_SECONDS, Limits, SharedLimits

PROCESSES = 4
PATIENT_SECONDS = 5.0


class Now:
    """A clock that a test sets."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def ignore(where: str, error: BaseException) -> None:
    """Redis goes away here on purpose."""


@contextmanager
def processes(url: str, now: Now) -> Iterator[list[SharedLimits]]:
    """All under one clock, and nobody looks after them but the test."""
    opened = [SharedLimits(RedisLink(url, ignore, PATIENT_SECONDS), PROCESSES, "local", now) for _ in range(PROCESSES)]
    for each in opened:
        each.tend()
    yield opened
    for each in opened:
        each.close()


@contextmanager
def tended(limits: Limits) -> Iterator[None]:
    """As the background does it."""

    def tend() -> None:
        while not over.wait(TEND_SECONDS):
            limits.tend()

    over = threading.Event()
    thread = threading.Thread(target=tend, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(5)
    limits.close()
