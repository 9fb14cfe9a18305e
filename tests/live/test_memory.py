"""E4, F11: callers that do not read cost little memory, and where it runs short new streams are refused, then those
end that lag most.
"""

import time
from collections.abc import Callable

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crowd import Crowd, outcomes
from tests.live.bench.pulse import Pulse
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.stalled import Flooding, Stalled
from tests.live.bench.steady_load import steady_load
from tests.live.bench.throng import percentiles
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.workers import PATIENT
from tests.live.cases import ASK, CHAT, ask, refusal
from tests.live.misbehaviour import resident_bytes

pytestmark = pytest.mark.alone

MEBIBYTE = 2**20
LARGE_FRAME_BYTES, FRAME_BYTES = 900_000, 4_096
STREAM_BYTES = 50_000_000
REFUSE_SHARE, SHED_SHARE = 0.85, 0.95
SERVED_AGAIN_SECONDS_MAX = 5.0
GROWTH_BYTES_MAX = 150 * MEBIBYTE
STEADY_SECONDS = 5.0
StartRelay = Callable[..., RelayProcess]
# Nobody is given up for being slow before it is measured what that costs.
WAITING = {**PATIENT, "RELAY_STREAM__SLOW_READER_SECONDS_MAX": "60", "RELAY_STREAM__CONNECT_SECONDS_MAX": "15"}


@pytest.fixture(scope="module")
def plain_bytes(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The memory of a worker that has little to do."""
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("plain"), PATIENT)
    try:
        key = relay.wait_ready().create_key("plain", rpm=1_000_000, concurrent=100)
        warm_up(relay, key)
        return resident_bytes(relay.worker_pids())
    finally:
        relay.stop()


@pytest.fixture
def start_small(
    upstream: ScriptedUpstream, start_relay: StartRelay, plain_bytes: int
) -> Callable[[float, float], RelayProcess]:
    """start_small(0.85, 20): a relay that has 20 MiB until it uses that share of its memory."""

    def start(share: float, mebibytes: float) -> RelayProcess:
        bytes_max = int((plain_bytes + mebibytes * MEBIBYTE) / share)
        return start_relay(upstream.base_url, **WAITING, RELAY_SERVER__MEMORY_BYTES_MAX=str(bytes_max))

    return start


def warm_up(relay: RelayProcess, key: str) -> None:
    with RawCaller(relay.port, key=key) as caller:
        for _ in range(20):
            assert ask(caller, ASK).status == 200
            caller.read_all()


def memory(relay: RelayProcess) -> int:
    return resident_bytes(relay.worker_pids())


def refused(relay: RelayProcess, key: str) -> bool:
    """Whether one more is told that there is no room."""
    with RawCaller(relay.port, key=key) as caller:
        head = ask(caller, ASK)
        if head.status == 200:
            return False
        assert refusal(caller, head) == (503, "overloaded")
        assert 1 <= int(head.header("retry-after") or 0) <= 5
        return True


def joined(stalled: Stalled) -> list[RawCaller]:
    """One more, and the time in which what it takes is measured."""
    time.sleep(0.15)
    return stalled.join(1)


def ends(relay: RelayProcess) -> list[object]:
    return [line["end"] for line in relay.log_lines() if line["route"] == CHAT and line["status"] == 200]


def test_where_memory_runs_short_no_stream_begins_and_those_that_run_go_on(
    start_small: Callable[[float, float], RelayProcess], upstream: ScriptedUpstream
) -> None:
    relay, flooding = start_small(REFUSE_SHARE, 15), Flooding(LARGE_FRAME_BYTES, STREAM_BYTES)
    key = relay.create_key("crowd", rpm=1_000_000, concurrent=10_000)
    upstream.answer(flooding)
    with Crowd(relay.port, key) as crowd, Stalled(relay.port, key) as stalled, Pulse(relay.port) as pulse:
        streams = crowd.join(10)
        until(lambda: bool(joined(stalled)) and refused(relay, key), 30, "a refusal")
        print(f"{memory(relay) / MEBIBYTE:.0f} MiB, refused after {len(stalled.callers)} stalled readers")
        requests = len(upstream.requests)
        assert refused(relay, key)
        assert len(upstream.requests) == requests
        flooding.release()
        assert outcomes(streams) == {"whole": 10}
    until(lambda: not refused(relay, key), SERVED_AGAIN_SECONDS_MAX, "service again")
    print(f"{memory(relay) / MEBIBYTE:.0f} MiB once they were gone")
    assert "shed" not in ends(relay)
    assert pulse.missed == []


def test_where_memory_is_almost_used_up_those_end_that_lag_most(
    start_small: Callable[[float, float], RelayProcess], upstream: ScriptedUpstream
) -> None:
    relay, flooding = start_small(SHED_SHARE, 15), Flooding(LARGE_FRAME_BYTES, STREAM_BYTES)
    key = relay.create_key("crowd", rpm=1_000_000, concurrent=10_000)
    upstream.answer(flooding)
    with Crowd(relay.port, key) as crowd, Stalled(relay.port, key) as stalled, Pulse(relay.port) as pulse:
        streams = crowd.join(10)
        stalled.join(40)
        until(lambda: "shed" in ends(relay), 10, "the end of some")
        print(f"{memory(relay) / MEBIBYTE:.0f} MiB after {ends(relay).count('shed')} of 40 were ended")
        until(lambda: not refused(relay, key), SERVED_AGAIN_SECONDS_MAX, "service again")
        print(f"{memory(relay) / MEBIBYTE:.0f} MiB after {ends(relay).count('shed')} of 40 were ended")
        assert 0 < ends(relay).count("shed") <= 40
        flooding.release()
        assert outcomes(streams) == {"whole": 10}
    assert pulse.missed == []
    assert relay.stderr().count("Traceback") == 0


def test_stalled_readers_cost_little_and_slow_nobody(start_relay: StartRelay, upstream: ScriptedUpstream) -> None:
    stall(start_relay, upstream, 100, 3.0)


@pytest.mark.soak
def test_five_hundred_stalled_readers_cost_little_and_slow_nobody(
    start_relay: StartRelay, upstream: ScriptedUpstream
) -> None:
    stall(start_relay, upstream, 500, 15.0)


def stall(start_relay: StartRelay, upstream: ScriptedUpstream, count: int, seconds: float) -> None:
    relay = start_relay(upstream.base_url, **WAITING)
    key = relay.create_key("crowd", rpm=1_000_000, concurrent=10_000)
    flooding = Flooding(FRAME_BYTES, STREAM_BYTES)
    flooding.release()
    upstream.answer(flooding)
    before_load, before = loaded(relay, key, seconds), memory(relay)
    with Stalled(relay.port, key) as stalled:
        asked = len(upstream.requests)
        stalled.join(count)
        upstream.wait_for_requests(asked + count, 30)
        during_load, grown = loaded(relay, key, seconds), memory(relay) - before
    print(
        f"{count} stalled readers: {grown / MEBIBYTE:.1f} MiB more; others' (p50, p99) {before_load}, {during_load} s"
    )
    assert grown <= GROWTH_BYTES_MAX * count / 500
    assert during_load[0] <= 2 * before_load[0] + 0.05
    until(lambda: upstream.busy == 0, 5, "the end of all streams")


def loaded(relay: RelayProcess, key: str, seconds: float) -> tuple[float, float]:
    """How long others' answers take meanwhile."""
    with steady_load(relay.port, key, callers=4, pause_seconds=0.02) as load:
        time.sleep(seconds)
    assert (set(load.statuses), load.are_whole) == ({200}, True)
    return percentiles(each.seconds for each in load.answers)
