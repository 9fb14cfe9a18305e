"""Looks which running streams have gone beyond what was reserved for them, and cuts those whose budget has no more."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from relay.core.errors import RelayError
from relay.spending.holds import Held, Unsettled
from relay.stores.database import StoreError

LOOK_SECONDS = 1.0


class Running(Protocol):
    """A stream on the loop."""

    def cut(self, end: str, code: str) -> None: ...


class Paid(Protocol):
    """What it is for."""

    held: Held
    flow: Any


class SpendingWatch:
    """`running`: the streams that are live now, each with its exchange."""

    def __init__(self, running: Callable[[], Mapping[Any, Any]], unsettled: Unsettled) -> None:
        self._running, self._unsettled = running, unsettled

    def look(self) -> None:
        """One look; called every second. What the stores do not do now they are asked again at the next."""
        with suppress(StoreError):
            self._unsettled.retry()
        for stream, exchange in list(self._running().items()):
            self._look_at(stream, exchange)

    def _look_at(self, stream: Running, exchange: Paid) -> None:
        """Where the stores cannot be asked nobody is cut for it."""
        try:
            covered = exchange.held.covers(exchange.flow.frames)
        except (StoreError, RelayError):
            return
        if not covered:
            stream.cut("budget", "budget_exhausted")
