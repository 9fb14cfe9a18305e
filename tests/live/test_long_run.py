"""Everything at once, for long: streams, JSON, refusals, failures, cuts, callers that leave and come back, and the
configuration read again and again. Memory and descriptors must not drift, and streams that last must be whole.
"""

import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.bench import procfs
from tests.live.bench.counted_greenlets import Greenlets
from tests.live.bench.crowd import Counting, Crowd, outcomes
from tests.live.bench.mixture import KINDS, Keys, mixed, mixed_for, said_by_model
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.workers import PATIENT
from tests.live.cases import nothing_left
from tests.live.misbehaviour import MEGABYTE, resident_bytes

pytestmark = pytest.mark.alone

SEED = 20_261_121
CALLERS, STREAMS = 8, 20
WARM_UP = 400  # requests
FRAMES = 100  # of each stream that lasts
# Looked at so often: in a run of twenty minutes EARLY are the minutes 3 to 5 and LATE 18 to 20, and a SIGHUP is sent
# every two minutes.
LOOKS, LOOKS_PER_RELOAD = 200, 20
EARLY, LATE = slice(30, 50), slice(180, 200)
GROWTH_BYTES_MAX = 8 * MEGABYTE
GROWTH_DESCRIPTORS_MAX = 5
SETTLED_SECONDS_MAX = 10.0
# The worker's own two, and those of its pools: four for the database, ten of gevent's; they come and go as needed.
THREADS_MAX = 16


@dataclass(frozen=True)
class Look:
    """What the worker holds at a moment."""

    bytes: int
    descriptors: int
    threads: int


@pytest.fixture
def greenlets(tmp_path: Path) -> Greenlets:
    return Greenlets(tmp_path)


@pytest.fixture
def relay(upstream: ScriptedUpstream, greenlets: Greenlets, start_relay: Callable[..., RelayProcess]) -> RelayProcess:
    seldom = {"RELAY_STREAM__HEARTBEAT_SECONDS": "15", "RELAY_AUTH__FAILURES_PER_MINUTE": "20"}
    return start_relay(upstream.base_url, **{**PATIENT, **seldom}, **greenlets.environ)


@pytest.mark.parametrize("seconds", [12, pytest.param(1_200, marks=pytest.mark.soak)])
def test_a_mixture_of_everything_does_not_drift(
    relay: RelayProcess, upstream: ScriptedUpstream, greenlets: Greenlets, seconds: float
) -> None:
    pids = relay.worker_pids()
    keys = Keys(relay.create_key("good", rpm=1_000_000, concurrent=1_000), relay.create_key("narrow", rpm=5))
    upstream.answer(said_by_model(SEED))
    mixed(relay.port, keys, WARM_UP, CALLERS, SEED)
    alive = settled(relay, upstream, greenlets)
    with nothing_left(relay, upstream) as owed, Crowd(relay.port, keys.good) as crowd:
        upstream.answer(counting := Counting(seconds / FRAMES))
        streams = crowd.join(STREAMS)
        upstream.answer(said_by_model(SEED + 1))
        kinds, looks = watched(relay, keys, seconds)
        counting.release()
        assert outcomes(streams, 2 * seconds / FRAMES + 20) == {"whole": STREAMS}
        crowd.close()
        owed.requests = sum(kinds.values()) + STREAMS
        tell(relay, kinds, looks, owed.lines_before)
    assert relay.worker_pids() == pids
    assert set(kinds) == set(KINDS)
    assert_no_drift(looks)
    assert reloads(relay) == (LOOKS - 1) // LOOKS_PER_RELOAD
    until(lambda: settled(relay, upstream, greenlets) <= alive, SETTLED_SECONDS_MAX, f"{alive} greenlets, as before")


def watched(relay: RelayProcess, keys: Keys, seconds: float) -> tuple[Counter[str], list[Look]]:
    """Let the callers ask for so long, and look meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(mixed_for, relay.port, keys, seconds, CALLERS, SEED)
        looks = list(looking(relay, seconds / LOOKS))
        return asked.result(), looks


def looking(relay: RelayProcess, interval_seconds: float) -> Iterator[Look]:
    [pid] = relay.worker_pids()
    began = time.monotonic()
    for number in range(1, LOOKS + 1):
        time.sleep(max(0.0, began + number * interval_seconds - time.monotonic()))
        if number % LOOKS_PER_RELOAD == 0 and number < LOOKS:
            relay.program.signal(signal.SIGHUP)
        yield Look(resident_bytes([pid]), relay.descriptors(), procfs.threads(pid))


def reloads(relay: RelayProcess) -> int:
    lines = [line for line in relay.stdout().splitlines() if '"where":"reload"' in line]
    assert all('"level":"info"' in line for line in lines)
    return len(lines)


def settled(relay: RelayProcess, upstream: ScriptedUpstream, greenlets: Greenlets) -> int:
    """How many greenlets are left once no request is."""
    until(lambda: relay.sockets_from_callers() + upstream.busy == 0, SETTLED_SECONDS_MAX, "the end of all requests")
    return greenlets.count(relay.worker_pids())


def assert_no_drift(looks: Sequence[Look]) -> None:
    """The medians of the two windows are compared: what grows with each request shows, what comes and goes does not."""
    assert grown(looks, "bytes") <= GROWTH_BYTES_MAX
    assert grown(looks, "descriptors") <= GROWTH_DESCRIPTORS_MAX
    assert max(look.threads for look in looks) <= THREADS_MAX


def grown(looks: Sequence[Look], name: str) -> float:
    early, late = (statistics.median(getattr(look, name) for look in looks[window]) for window in (EARLY, LATE))
    return late - early


def tell(relay: RelayProcess, kinds: Counter[str], looks: Sequence[Look], lines_before: int) -> None:
    ends = Counter(str(line["end"] or line["error"]) for line in relay.log_lines()[lines_before:])
    print(f"{sum(kinds.values())} requests: {dict(kinds)}; as told: {dict(ends)}")
    for name, window in {"early": EARLY, "late": LATE}.items():
        seen = [statistics.median(getattr(look, of) for look in looks[window]) for of in Look.__annotations__]
        print(f"{name}: {seen[0] / MEGABYTE:.2f} MiB, {seen[1]:.0f} descriptors, {seen[2]:.0f} threads (medians)")
    print(f"most: {max(look.bytes for look in looks) / MEGABYTE:.2f} MiB, {max(look.descriptors for look in looks)}")
