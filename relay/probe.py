"""How long the upstream takes to answer, measured in the background: a health check never waits for it and never
bills a call.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

# A measurement older than this many turns says nothing any more.
STALE_TURNS = 3


@dataclass(frozen=True, slots=True)
class Health:
    """The last measurement. `latency_ms` is None where the upstream failed; `error` then says how."""

    latency_ms: float | None
    error: str | None
    measured_at: float


class Probe:
    """Asks the upstream for its list of models now and then.

    `ask` raises where it fails; its error's `code` is told.
    """

    def __init__(self, ask: Callable[[], None], turn_seconds: float) -> None:
        self.ask, self._turn_seconds = ask, turn_seconds
        self._last = Health(None, "not_measured_yet", 0.0)

    def measure(self) -> None:
        """Take one measurement; called in the background, one at a time."""
        begun = time.monotonic()
        try:
            self.ask()
        except Exception as error:
            self._last = Health(None, getattr(error, "code", "probe_failed"), time.monotonic())
        else:
            ended = time.monotonic()
            self._last = Health(round((ended - begun) * 1000, 1), None, ended)

    @property
    def health(self) -> Health:
        """The last measurement, unless it is too old to say anything."""
        last = self._last
        if last.error is None and time.monotonic() - last.measured_at > STALE_TURNS * self._turn_seconds:
            return Health(None, "measurement_is_stale", last.measured_at)
        return last
