"""What must be true within two seconds after every case: nothing of the request is left, and it was told once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.live.bench import canaries

SETTLED_SECONDS_MAX = 2.0
LOG_LAG_SECONDS = 0.1


class Relay(Protocol):
    secrets: dict[str, str]

    def descriptors(self) -> int: ...
    def sockets_to(self, port: int) -> int: ...
    def sockets_from_callers(self) -> int: ...
    def log_lines(self) -> list[dict[str, object]]: ...
    def stdout(self) -> str: ...
    def stderr(self) -> str: ...


class Upstream(Protocol):
    port: int

    @property
    def busy(self) -> int: ...


@dataclass(frozen=True)
class Baseline:
    """Counts before a case; `descriptors` leaves out connections to the upstream, which may wait in the pool."""

    descriptors: int
    log_lines: int


def baseline(relay: Relay, upstream: Upstream) -> Baseline:
    """Count, once the callers of earlier cases are gone and their log lines written."""
    _until(lambda: [] if relay.sockets_from_callers() == 0 else ["callers of an earlier case are still connected"])
    time.sleep(LOG_LAG_SECONDS)
    return Baseline(_own_descriptors(relay, upstream), len(relay.log_lines()))


def assert_back_to_baseline(relay: Relay, upstream: Upstream, before: Baseline, requests: int = 1) -> None:
    """Callers must have been closed; `requests`: how many were made since `before`, each owing one log line."""
    _until(lambda: _leftovers(relay, upstream, before, requests))
    _assert_clean_output(relay)


def _leftovers(relay: Relay, upstream: Upstream, before: Baseline, requests: int) -> list[str]:
    descriptors, lines = _own_descriptors(relay, upstream), relay.log_lines()[before.log_lines :]
    complaints = {
        f"{relay.sockets_from_callers()} connections of callers are open": relay.sockets_from_callers() > 0,
        f"{upstream.busy} upstream connections are neither closed nor idle": upstream.busy > 0,
        f"{descriptors} descriptors, {before.descriptors} before": descriptors > before.descriptors,
        f"{len(lines)} log lines for {requests} requests: {lines}": len(lines) != requests,
    }
    return [complaint for complaint, true in complaints.items() if true]


def _own_descriptors(relay: Relay, upstream: Upstream) -> int:
    return relay.descriptors() - relay.sockets_to(upstream.port)


def _assert_clean_output(relay: Relay) -> None:
    places = {"the relay's standard output": relay.stdout(), "its standard error": relay.stderr()}
    for where, text in places.items():
        assert "Traceback" not in text, f"a traceback in {where}:\n{text[text.index('Traceback') :][:3000]}"
    canaries.assert_absent(dict(places), relay.secrets)


def _until(complaints: Callable[[], list[str]]) -> None:
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while found := complaints():
        assert time.monotonic() < deadline, "; ".join(found)
        time.sleep(0.02)
