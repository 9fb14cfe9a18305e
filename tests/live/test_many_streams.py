"""Thousands of streams at the pace of a slow reader's eye: every frame of each arrives once, in order, unharmed.

The bench's two programs in C are the upstream, which numbers the frames, and the callers, who verify each answer.
"""

import os
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.load_side import LoadSide, Order, Outcome, build
from bench.peers import Running
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.waiting import until
from tests.live.bench.workers import PATIENT
from tests.live.cases import CHAT
from tests.live.misbehaviour import MEGABYTE, cpu_seconds, resident_bytes

pytestmark = pytest.mark.alone

CORE = max(os.sched_getaffinity(0))
FRAME_US = 1_000_000
BEGUN_PER_SECOND = 100
# Nobody waits in vain where the machine is busy while all begin.
WAITING = {**PATIENT, "RELAY_STREAM__CONNECT_SECONDS_MAX": "15"}
SPARE_CONNECTIONS = 100  # 64 of a worker's are kept for health checks
SETTLED_SECONDS_MAX = 10.0


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Programs started meanwhile may open as many files as the system lets them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def load_side(many_descriptors: None, tmp_path: Path) -> Iterator[LoadSide]:
    side = LoadSide(build(tmp_path), tmp_path, CORE)
    yield side
    side.stop()


@pytest.mark.parametrize(("streams", "seconds"), [(200, 8), pytest.param(2_000, 300, marks=pytest.mark.soak)])
def test_of_many_streams_no_frame_is_lost_or_doubled_or_out_of_order(
    load_side: LoadSide, start_relay: Callable[..., RelayProcess], streams: int, seconds: int
) -> None:
    room = {"RELAY_SERVER__CONNECTIONS_PER_WORKER": str(streams + SPARE_CONNECTIONS)}
    relay = start_relay(f"http://127.0.0.1:{load_side.upstream_port}/v1", **WAITING, **room)
    key = relay.create_key("many", rpm=1_000_000, concurrent=streams)
    descriptors, cpu = relay.descriptors(), cpu_seconds(relay.worker_pids())
    outcome = load_side.call(
        Running(relay.port, (f"Authorization: Bearer {key}",)),
        Order(streams, streams, seconds, FRAME_US, streams * 1_000 // BEGUN_PER_SECOND, 2 * seconds + 60),
    )
    tell(outcome, relay, cpu_seconds(relay.worker_pids()) - cpu)
    until(lambda: len(lines_of(relay)) == streams, SETTLED_SECONDS_MAX, "a line for each stream")
    lines = lines_of(relay)
    assert Counter((line["status"], line["end"], line["error"]) for line in lines) == {(200, "done", None): streams}
    assert (outcome.good, outcome.frames, outcome.faults) == (streams, streams * seconds, {})
    assert (outcome.unfinished, outcome.reconnects) == (0, 0)
    until(lambda: relay.sockets_from_callers() == 0, SETTLED_SECONDS_MAX, "the end of the callers' connections")
    assert sum(int(str(line["frames_out"])) for line in lines) == streams * (seconds + 2)  # the reason, and [DONE]
    until(
        lambda: relay.descriptors() - relay.sockets_to(load_side.upstream_port) <= descriptors,
        SETTLED_SECONDS_MAX,
        f"{descriptors} descriptors, as before",
    )
    assert "Traceback" not in relay.stdout() + relay.stderr()


def lines_of(relay: RelayProcess) -> list[dict[str, object]]:
    return [line for line in relay.log_lines() if line["route"] == CHAT]


def tell(outcome: Outcome, relay: RelayProcess, cpu: float) -> None:
    memory = resident_bytes(relay.worker_pids()) / MEGABYTE
    first, frame = outcome.first_frame, outcome.frame
    print(f"{outcome.good} whole of {outcome.requests}, {outcome.frames} frames in {outcome.seconds:.0f} s; "
          f"ms to the caller: p50 {frame.p50 / 1e6:.2f}, p99 {frame.p99 / 1e6:.2f}, max {frame.max / 1e6:.2f}; "
          f"first frame p99 {first.p99 / 1e6:.1f}; the worker: {cpu:.1f} s of CPU, {memory:.0f} MiB")  # fmt: skip
