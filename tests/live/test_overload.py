"""G1, G2, G5, E5: ten times as many callers as there is room for. Who was let in is served to the end, the others are
told so at once, health checks are always answered, and soon after all is as before.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crowd import STOP, Counting, Crowd, numbered, outcomes
from tests.live.bench.pulse import Pulse
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE
from tests.live.bench.throng import Throng, Told, percentiles, results
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.workers import PATIENT
from tests.live.cases import ASK, STREAM, ask

pytestmark = pytest.mark.alone

CONNECTIONS, RESERVE = 200, 64
ADMITTED = CONNECTIONS - RESERVE
OFFERED = 10 * CONNECTIONS
PER_SECOND = 300
RECOVERED_SECONDS_MAX = 5.0
TOLD_SECONDS_MAX = 2.0  # on a busy machine; the figures are printed
STORM_SECONDS_MAX = 20.0
ALIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
ROOMY = {**PATIENT, "RELAY_STREAM__CONNECT_SECONDS_MAX": "15"}  # all of this runs on one machine
StartRelay = Callable[..., RelayProcess]


@pytest.fixture
def relay(upstream: ScriptedUpstream, start_relay: StartRelay) -> RelayProcess:
    return start_relay(upstream.base_url, **ROOMY, RELAY_SERVER__CONNECTIONS_PER_WORKER=str(CONNECTIONS))


@pytest.fixture
def key(relay: RelayProcess) -> str:
    return relay.create_key("crowd", rpm=1_000_000, concurrent=100_000)


def is_whole(told: Told) -> bool:
    """Whether all numbered frames are there, in order, and the end behind them."""
    frames = [frame + b"\n\n" for frame in told.frames]
    return told.whole and frames[-2:] == [STOP, DONE] and frames[:-2] == [numbered(n) for n in range(len(frames) - 2)]


def served_again(relay: RelayProcess, key: str) -> None:
    """In time, all connections of before being gone."""
    began = time.monotonic()
    until(lambda: is_served(relay, key), RECOVERED_SECONDS_MAX, "service again")
    until(lambda: in_flight(relay) <= 1, RECOVERED_SECONDS_MAX, "a gauge of the asking caller alone")
    print(f"served again after {time.monotonic() - began:.2f} s")


def is_served(relay: RelayProcess, key: str) -> bool:
    with RawCaller(relay.port, key=key) as caller:
        return ask(caller, ASK).status == 200


def in_flight(relay: RelayProcess) -> float:
    with RawCaller(relay.port) as caller:
        caller.get("/metrics")
        caller.read_head()
        [line] = [line for line in caller.read_all().decode().splitlines() if line.startswith("relay_in_flight ")]
        return float(line.split()[1])


def test_of_ten_times_as_many_callers_as_there_is_room_for_those_let_in_are_served(
    relay: RelayProcess, key: str, upstream: ScriptedUpstream
) -> None:
    """The refused ones keep their connections, as SDKs do."""
    counting = Counting()
    upstream.answer(counting)
    assert is_served(relay, key)
    asked_before = len(upstream.requests)
    with Pulse(relay.port) as pulse, Throng(relay.port, key) as throng:
        asked = throng.ask(OFFERED, PER_SECOND, STREAM)
        until(lambda: len(throng.heads) == OFFERED, 60, "an answer to each")
        counting.release()
        told = results(asked)
        served_again(relay, key)
    admitted, refused = (list(filter(test, told)) for test in (Told.was_admitted, Told.was_refused))
    print_figures(refused, pulse)
    assert ADMITTED * 0.9 <= len(admitted) <= ADMITTED
    assert all(is_whole(each) for each in admitted)
    assert {(each.status, each.code) for each in refused} == {(503, "overloaded")}
    assert {each.head.header("retry-after") for each in refused} == {"2", "3", "4", "5"}, "they come back at once"
    assert len(upstream.requests) - asked_before == len(admitted) + 1, "refused ones went upstream"
    assert percentiles(each.seconds for each in refused)[1] <= TOLD_SECONDS_MAX
    assert (pulse.missed, percentiles(pulse.seconds)[1] <= TOLD_SECONDS_MAX) == ([], True)
    until(lambda: relay.sockets_from_callers() == 0, 2, "the end of all connections")


@pytest.mark.parametrize("first", [b"", ALIVE, ALIVE[:-2]], ids=["silent", "kept alive", "half a head"])
def test_connections_that_only_wait_lock_nobody_out(
    relay: RelayProcess, key: str, upstream: ScriptedUpstream, first: bytes
) -> None:
    """More of them than there are places; those that have waited longest end, and no stream does."""
    counting = Counting()
    upstream.answer(counting)
    with Crowd(relay.port, key) as crowd, ExitStack() as waiting, Pulse(relay.port) as pulse:
        streams = crowd.join(20)
        idle = [waiting.enter_context(RawCaller(relay.port)) for _ in range(CONNECTIONS + 50)]
        for caller in idle:
            caller.connect()
            caller.sock.sendall(first)
        until(lambda: is_served(relay, key), RECOVERED_SECONDS_MAX, "service for others")
        until(lambda: relay.sockets_from_callers() <= ADMITTED + RESERVE // 2, 5, "the end of some")
        ended = [caller.wait_closed(0.01) for caller in idle]
        assert 50 < sum(ended) < len(idle)
        assert sorted(ended, reverse=True) == ended, "not the longest first"
        counting.release()
        assert outcomes(streams) == {"whole": 20}
    print(f"{sum(ended)} of {len(idle)} ended; /health/live in {percentiles(pulse.seconds)} s")
    assert pulse.missed == []
    assert "[ERROR]" not in relay.stderr(), "an ended connection is no failure"


def test_a_storm_of_reconnections_is_answered(relay: RelayProcess, key: str, upstream: ScriptedUpstream) -> None:
    storm(relay, key, 1_000)


@pytest.mark.soak
def test_a_storm_of_five_thousand_reconnections_is_answered(
    upstream: ScriptedUpstream, start_relay: StartRelay
) -> None:
    relay = start_relay(upstream.base_url, **ROOMY, RELAY_SERVER__CONNECTIONS_PER_WORKER="1000")
    storm(relay, relay.create_key("crowd", rpm=1_000_000, concurrent=100_000), 5_000)


def storm(relay: RelayProcess, key: str, count: int) -> None:
    began = time.monotonic()
    with Throng(relay.port, key) as throng:
        told = results(throng.ask(count, 5_000, ASK))
    took = time.monotonic() - began
    came = Counter((each.status, each.code) for each in told)
    print(f"{came} in {took:.1f} s, (p50, p99) {percentiles(each.seconds for each in told)} s")
    assert came.keys() <= {(200, ""), (503, "overloaded")}
    assert all(1 <= int(each.head.header("retry-after") or 0) <= 5 for each in told if each.status == 503)
    assert took < STORM_SECONDS_MAX
    assert is_served(relay, key)


def print_figures(refused: list[Told], pulse: Pulse) -> None:
    print(f"{len(refused)} refused in (p50, p99) {percentiles(each.seconds for each in refused)} s")
    print(f"/health/live {len(pulse.seconds)} times in (p50, p99) {percentiles(pulse.seconds)} s")
