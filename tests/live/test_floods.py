"""G3, G4, G5: one who floods with a key, or with guesses, is told so and hurts nobody else."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crowd import Counting, Crowd, outcomes
from tests.live.bench.many_callers import CHAT
from tests.live.bench.program import run
from tests.live.bench.pulse import Pulse
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.steady_load import steady_load
from tests.live.bench.throng import percentiles
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.workers import PATIENT
from tests.live.cases import ASK, ask
from tests.live.misbehaviour import resident_bytes

pytestmark = pytest.mark.alone

CONNECTIONS = 4  # of the one who floods, each with a request on it all the time
STREAMS = 20
GUESS = "rk_" + "#" * 38
GROWTH_SHARE_MAX = 0.10
GROWTH_BYTES_MIN = 10 * 2**20
RECOVERED_SECONDS_MAX = 5.0
SLOWER_SECONDS_MAX = 0.25  # on a busy machine; the figures are printed
StartRelay = Callable[..., RelayProcess]


@pytest.fixture
def relay(upstream: ScriptedUpstream, start_relay: StartRelay) -> RelayProcess:
    relay = start_relay(upstream.base_url, **PATIENT, RELAY_AUTH__FAILURES_PER_MINUTE="20")
    warm_up(relay, relay.create_key("warm", rpm=1_000_000))
    return relay


@contextmanager
def flooded(relay: RelayProcess, key: str, seconds: float) -> Iterator[dict[str, int]]:
    """Another process floods meanwhile; in the end, how often it was told what."""
    told: dict[str, int] = {}
    command = [sys.executable, "-m", "tests.live.bench.flooder"]
    arguments = [str(relay.port), str(seconds), str(CONNECTIONS), key]
    thread = threading.Thread(target=lambda: told.update(json.loads(run([*command, *arguments], {}))), daemon=True)
    thread.start()
    yield told
    thread.join(60)


def warm_up(relay: RelayProcess, key: str) -> None:
    with RawCaller(relay.port, key=key) as caller:
        for _ in range(50):
            assert ask(caller, ASK).status == 200
            caller.read_all()


def latency(relay: RelayProcess, key: str, seconds: float) -> tuple[float, float]:
    """Of whole answers to another key, median and 99th in 100."""
    with steady_load(relay.port, key, callers=2, pause_seconds=0.02) as load:
        time.sleep(seconds)
    assert (set(load.statuses), load.are_whole) == ({200}, True)
    return percentiles(each.seconds for each in load.answers)


def shielded(relay: RelayProcess, upstream: ScriptedUpstream, flooding_key: str, seconds: float) -> dict[str, int]:
    """Streams and another key's requests during a flood; how often the one who floods was told what."""
    counting, key = Counting(), relay.create_key("other", rpm=1_000_000, concurrent=1_000)
    upstream.answer(counting)
    with Crowd(relay.port, key) as crowd, Pulse(relay.port) as pulse:
        streams = crowd.join(STREAMS)
        upstream.answer(released := Counting())
        released.release()
        alone, before = latency(relay, key, seconds), resident_bytes(relay.worker_pids())
        with flooded(relay, flooding_key, seconds + 2) as told:
            time.sleep(1)
            beside = latency(relay, key, seconds)
        grown = resident_bytes(relay.worker_pids()) - before
        counting.release()
        assert outcomes(streams) == {"whole": STREAMS}
    rate = sum(told.values()) / (seconds + 2)
    print(f"{told}, {rate:.0f} a second; others' (p50, p99) alone {alone}, beside it {beside} s; {grown:+} bytes")
    print(f"/health/live {len(pulse.seconds)} times in (p50, p99) {percentiles(pulse.seconds)} s")
    assert pulse.missed == []
    assert beside[0] <= 1.5 * alone[0] + SLOWER_SECONDS_MAX
    assert grown <= max(GROWTH_BYTES_MIN, GROWTH_SHARE_MAX * before)
    until(lambda: ends(relay) == {"done"}, RECOVERED_SECONDS_MAX, "a line for each that was served")
    until(lambda: relay.sockets_from_callers() == 0, RECOVERED_SECONDS_MAX, "the end of all connections")
    return told


def ends(relay: RelayProcess) -> set[object]:
    return {line["end"] for line in relay.log_lines() if line["route"] == CHAT and line["status"] == 200}


def test_one_key_that_floods_is_told_and_hurts_no_other(relay: RelayProcess, upstream: ScriptedUpstream) -> None:
    flood_with_a_key(relay, upstream, 2.0)


def test_a_flood_of_guesses_reaches_no_upstream_and_hurts_nobody(
    relay: RelayProcess, upstream: ScriptedUpstream
) -> None:
    flood_with_guesses(relay, upstream, 2.0)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["a key", "guesses"])
def test_a_long_flood_hurts_nobody(relay: RelayProcess, upstream: ScriptedUpstream, kind: str) -> None:
    {"a key": flood_with_a_key, "guesses": flood_with_guesses}[kind](relay, upstream, 20.0)


def flood_with_a_key(relay: RelayProcess, upstream: ScriptedUpstream, seconds: float) -> None:
    key = relay.create_key("floods", rpm=10, concurrent=1_000)
    told = shielded(relay, upstream, key, seconds)
    assert set(told) <= {"200", "429", "closed"}
    assert told["429"] > 100


def flood_with_guesses(relay: RelayProcess, upstream: ScriptedUpstream, seconds: float) -> None:
    told = shielded(relay, upstream, GUESS, seconds)
    assert set(told) == {"401", "429"}
    assert told["401"] <= 20 * (1 + seconds // 60 + 1)
    assert told["429"] > 100
    sent = [request for request in upstream.requests if request.method == "POST"]
    until(lambda: len(served(relay)) >= len(sent), 5.0, "the last log lines")
    assert len(sent) == len(served(relay)), "a guess went upstream"


def served(relay: RelayProcess) -> list[dict[str, object]]:
    return [line for line in relay.log_lines() if line["status"] == 200 and line["route"] == CHAT]
