"""GET /selftest on a real server: paced frames also through nginx, and every way in which it may end early."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.counted_greenlets import Greenlets
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.cases import Owed, nothing_left
from tests.live.conftest import SHORT_LIMITS
from tests.live.departures import LEAVING

PATH = "/selftest"
LONG = "/selftest?frames=200&interval_ms=5000"
NOTICED_SECONDS_MAX = 1.0


@pytest.fixture(scope="module")
def greenlets(tmp_path_factory: pytest.TempPathFactory) -> Greenlets:
    return Greenlets(tmp_path_factory.mktemp("greenlets"))


@pytest.fixture(scope="module")
def relay(
    module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory, greenlets: Greenlets
) -> Iterator[RelayProcess]:
    limits = {
        **SHORT_LIMITS,
        **greenlets.environ,
        "RELAY_STREAM__EARLY_OPEN_SECONDS": "0.5",
        "RELAY_STREAM__HEARTBEAT_SECONDS": "0.5",
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), limits)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.fixture(scope="module")
def only_slot(relay: RelayProcess) -> str:
    return relay.create_key("one-slot", rpm=1_000_000, concurrent=1)


def timed(caller: RawCaller) -> list[tuple[float, dict[str, float]]]:
    """Each frame but the last with when it came."""
    came = [(time.time() * 1000, frame) for frame in caller.frames()]
    assert came.pop()[1] == b"data: [DONE]\n\n"
    return [(at, json.loads(frame.removeprefix(b"data: "))) for at, frame in came if frame.startswith(b"data")]


def test_frames_come_at_their_pace_through_nginx_too(
    relay: RelayProcess, key: str, start_nginx: Callable[[str], Nginx]
) -> None:
    with RawCaller(start_nginx(stock_location(relay.port)).port, key=key) as caller:
        caller.get(f"{PATH}?frames=20&interval_ms=100")
        assert caller.read_head()[0] == 200
        frames = timed(caller)
        assert caller.ended_cleanly
    assert [frame["n"] for _, frame in frames] == list(range(1, 21))
    assert frames[-1][1]["sent_at_ms"] - frames[0][1]["sent_at_ms"] >= 1_890
    assert all(at - frame["sent_at_ms"] < 1_500 for at, frame in frames), frames


def test_the_connection_can_be_used_again(caller: RawCaller, owed: Owed) -> None:
    owed.requests = 2
    for _ in range(2):
        caller.get(f"{PATH}?frames=2&interval_ms=10")
        caller.read_head()
        assert len(timed(caller)) == 2


def test_a_silence_opens_early_and_is_kept_alive(caller: RawCaller) -> None:
    began = time.monotonic()
    caller.get(f"{PATH}?frames=1&silence_seconds=2")
    assert caller.read_head()[0] == 200
    assert 0.4 < time.monotonic() - began < 1.9
    body = caller.read_all()
    assert body.count(b": ping\n\n") >= 1
    assert body.startswith(b": ping") and body.endswith(b"data: [DONE]\n\n")
    assert caller.ended_cleanly


@pytest.mark.parametrize(
    ("query", "leave"),
    [(LONG, "FIN"), (LONG, "half-close"), (f"{PATH}?silence_seconds=100", "RST")],
)
def test_a_caller_that_leaves_ends_it_and_frees_its_slot(
    only_slot: str, greenlets: Greenlets, owed: Owed, query: str, leave: str
) -> None:
    relay, owed.requests = owed.relay, 2
    before = greenlets.count(relay.worker_pids())
    with RawCaller(relay.port, key=only_slot) as caller:
        caller.get(query)
        caller.read_head()
        left = time.monotonic()
        LEAVING[leave](caller)
        line = owed.line()
        assert time.monotonic() - left < NOTICED_SECONDS_MAX
    assert (line["end"], line["route"]) == ("client_gone", PATH)
    with RawCaller(relay.port, key=only_slot) as caller:
        caller.get(f"{PATH}?frames=1")
        assert caller.read_head()[0] == 200
        assert caller.read_all().endswith(b"data: [DONE]\n\n")
    until(lambda: relay.sockets_from_callers() == 0, what="the end of the callers' connections")
    until(lambda: greenlets.count(relay.worker_pids()) <= before, 5.0, "no greenlet more than before")


def test_one_slot_is_one_selftest_and_it_is_free_when_the_end_is_read(
    relay: RelayProcess, only_slot: str, owed: Owed
) -> None:
    owed.requests = 3
    with RawCaller(relay.port, key=only_slot) as caller, RawCaller(relay.port, key=only_slot) as other:
        caller.get(f"{PATH}?frames=5&interval_ms=200")
        assert caller.read_head()[0] == 200
        other.get(PATH)
        assert other.read_head()[0] == 429
        other.read_all()
        caller.read_until(b"[DONE]\n\n")
        other.get(f"{PATH}?frames=1")
        assert other.read_head()[0] == 200
        other.read_all()


def test_a_revoked_key_ends_it_with_a_word(relay: RelayProcess) -> None:
    key = relay.create_key("revoked")
    with RawCaller(relay.port, key=key) as caller:
        caller.get(LONG)
        assert caller.read_head()[0] == 200
        relay.command_line("keys", "revoke", "revoked")
        body = caller.read_all(10)
        assert b'"code":"key_revoked"' in body.split(b"\n\n")[-2]
        assert not caller.ended_cleanly


def test_a_restart_ends_it_with_a_word(module_upstream: ScriptedUpstream, tmp_path: Path, owed: Owed) -> None:
    owed.requests = 0
    relay = RelayProcess(module_upstream.base_url, tmp_path, {**SHORT_LIMITS, "RELAY_SERVER__DRAIN_SECONDS": "0.5"})
    try:
        key = relay.wait_ready().create_key("drained")
        with RawCaller(relay.port, key=key) as caller:
            caller.get(LONG)
            assert caller.read_head()[0] == 200
            caller.read_until(b'"n":1')
            assert relay.stop() == 0
            body = caller.read_all()
            assert b'"code":"relay_draining"' in body
            assert not caller.ended_cleanly
        assert relay.wait_for_log_line(route=PATH)["end"] == "drained"
    finally:
        relay.stop()
