"""Whether one more stream fits: connections and memory. Refusing early is cheap, and keeps what runs running."""

import ctypes
import os
import random
import time
from collections.abc import Callable

from relay.core.errors import RelayError

# How often `look` wants to be called.
MEASURE_SECONDS = 0.5
# Giving back half a gigabyte stops everything for a quarter of a second; but service is to be back 5 s after a peak.
GIVE_BACK_SECONDS = 2.0
# Shares of `memory_bytes_max`: above the first no stream begins, above the second those that lag most end.
REFUSE_SHARE, SHED_SHARE = 0.85, 0.95
# Spread, or all who were refused would come back at once.
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 1.0, 5.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """This process's memory (proc(5), statm: the second figure, in pages)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def give_back_free_memory() -> None:
    """What was freed stays with the process until it is asked for (malloc_trim(3); glibc alone has it)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Capacity:
    """One per worker. `is_full`: whether its connections are; `shed`: ends streams that lag, to free memory.

    `memory_bytes`: as last measured. `memory_bytes_max`: 0 is no limit.
    """

    def __init__(
        self,
        is_full: Callable[[], bool],
        shed: Callable[[], None],
        memory_bytes_max: int,
        measure: Callable[[], int] = resident_bytes,
        give_back: Callable[[], None] = give_back_free_memory,
    ) -> None:
        self._is_full, self._shed, self._measure = is_full, shed, measure
        self._give_back = give_back
        self.memory_bytes_max = memory_bytes_max
        self.memory_bytes = 0
        self._given_back_at = float("-inf")

    def require(self) -> None:
        """Let one more request in. Raises RelayError overloaded."""
        if self._is_full() or self._is_above(REFUSE_SHARE):
            seconds = random.uniform(RETRY_SECONDS_MIN, RETRY_SECONDS_MAX)
            raise RelayError("overloaded", "The relay has no room for more requests.", retry_after_seconds=seconds)

    def look(self) -> None:
        """Measure, and shed what must be shed."""
        self.memory_bytes = self._measure()
        if self._is_above(REFUSE_SHARE) and time.monotonic() - self._given_back_at >= GIVE_BACK_SECONDS:
            self._give_back()
            self._given_back_at = time.monotonic()
            self.memory_bytes = self._measure()
        if self._is_above(SHED_SHARE):
            self._shed()

    def _is_above(self, share: float) -> bool:
        return bool(self.memory_bytes_max) and self.memory_bytes > share * self.memory_bytes_max
