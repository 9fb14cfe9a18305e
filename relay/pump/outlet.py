"""Where a stream's frames may go, as the stream sees it."""

from collections.abc import Callable
from typing import Protocol

from relay.pump.sweep import Sweep


class Outlet(Protocol):
    """Where a stream's frames go: a caller's socket, or a log that others read. It never waits.

    `pending`: what it has not taken yet; meanwhile nothing more may be read for it. `taken_at`, `wrote_at`: when it
    last took something of that, and when something was last written.
    """

    pending: bytes
    taken_at: float
    wrote_at: float

    def write(self, data: bytes, now: float) -> None: ...

    def hold(self, data: bytes) -> None: ...

    def watch(self) -> None: ...

    def attend(self, sweep: Sweep) -> None: ...

    def stop(self) -> None: ...


# Made from what is called when it is drained, and when nobody is left.
NewOutlet = Callable[[Callable[[], None], Callable[[], None]], Outlet]
