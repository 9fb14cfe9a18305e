"""After the terminal frame: waits a moment for the end of the upstream's body, so that its connection can be used
again.

Many servers send `[DONE]` and the last chunk in two writes. The caller does not wait for the second one.
"""

import time
from collections.abc import Callable

from relay.core.body import BadBody
from relay.pump.source import Source
from relay.pump.sweep import Sweep

LINGER_SECONDS = 1.0


class Linger:
    """Owns a source whose stream is over: back into the pool at an exact end, closed at anything else or after a
    second.
    """

    __slots__ = ("_close", "_source", "_sweep", "due")

    def __init__(self, source: Source, sweep: Sweep, close: Callable[[], None]) -> None:
        self._source, self._sweep, self._close = source, sweep, close
        self.due = time.monotonic() + LINGER_SECONDS
        sweep.add(self)
        source.watch(self._readable)

    def on_due(self, now: float) -> None:
        self._finish(self._close)

    def _readable(self) -> None:
        try:
            data = self._source.read()
            if data is None:
                return
            payload = self._source.decoder.feed(data)
        except (OSError, BadBody):
            data, payload = b"", b""
        if payload or not data:
            self._finish(self._close)
        elif self._source.decoder.ended:
            self._finish(self._source.give_back if self._source.is_reusable else self._close)

    def _finish(self, last: Callable[[], None]) -> None:
        self._sweep.discard(self)
        self._source.stop()
        last()
