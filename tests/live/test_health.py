"""GET /health: measured in the background, never in the request; never billed; true within 15 s. /health/ready."""

import json
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import Answer, error_answer, every_request, json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.cases import ASK, ask, get, held, refusal
from tests.live.conftest import SHORT_LIMITS
from tests.stores import postgresql_server

CALLS = 300
MEDIAN_SECONDS_MAX, ONE_SECONDS_MAX = 0.05, 0.5
TOLD_SECONDS_MAX = 15.0
LIST = json_answer({"object": "list", "data": []})
StartRelay = Callable[..., RelayProcess]


def health(caller: RawCaller, path: str = "/health") -> tuple[int, dict[str, object]]:
    head = get(caller, path)
    body = caller.read_all()
    assert (head.header("content-type"), head.header("cache-control")) == ("application/json", "no-store")
    return head.status, json.loads(body)


def is_healthy(caller: RawCaller) -> bool:
    return health(caller)[0] == 200


def silent(conn: Connection) -> None:
    conn.read_request()
    held(conn, 60)


def slow(conn: Connection, _: object) -> None:
    conn.stall(1.5)
    conn.send(LIST)


def seconds_of(calls: int, caller: RawCaller) -> list[float]:
    """How long each of so many calls takes, up to the first that takes too long."""
    times = [0.0]
    while len(times) <= calls and times[-1] < ONE_SECONDS_MAX:
        began = time.perf_counter()
        health(caller)
        times.append(time.perf_counter() - began)
    return times[1:]


def assert_quick(times: list[float]) -> None:
    print(f"median {statistics.median(times) * 1000:.1f} ms, longest {max(times) * 1000:.1f} ms of {len(times)}")
    assert statistics.median(times) < MEDIAN_SECONDS_MAX
    assert max(times) < ONE_SECONDS_MAX


@pytest.fixture
def often(upstream: ScriptedUpstream, start_relay: StartRelay) -> RelayProcess:
    """A relay that measures every half second."""
    return start_relay(upstream.base_url, RELAY_HEALTH__PROBE_SECONDS="0.5", RELAY_SERVER__DRAIN_SECONDS="1")


@pytest.fixture
def asking(often: RelayProcess) -> Iterator[RawCaller]:
    with RawCaller(often.port) as caller:
        until(lambda: is_healthy(caller), 10, "a first measurement")
        yield caller


def test_a_healthy_upstream_is_told_with_its_latency(upstream: ScriptedUpstream, asking: RawCaller) -> None:
    upstream.answer(every_request(lambda conn, _: (conn.stall(0.2), conn.send(LIST))[1]))
    until(lambda: float(str(health(asking)[1]["latency"])) >= 200, 5, "the measured latency")
    status, told = health(asking)
    assert (status, told["status"]) == (200, "healthy")
    assert set(told) == {"status", "latency", "timestamp", "checks"}
    assert 200 <= float(str(told["latency"])) < 2000
    assert str(told["timestamp"]).endswith("Z")


def test_it_answers_at_once_while_the_upstream_hangs(upstream: ScriptedUpstream, asking: RawCaller) -> None:
    upstream.answer(silent)
    upstream.hang_up()
    upstream.wait_for_requests(len(upstream.requests) + 1)
    assert_quick(seconds_of(CALLS, asking))


def test_it_answers_at_once_while_streams_hang_too(
    upstream: ScriptedUpstream, often: RelayProcess, asking: RawCaller
) -> None:
    upstream.answer(silent)
    key = often.create_key("hanging", concurrent=100)
    callers = [RawCaller(often.port, key=key) for _ in range(50)]
    for caller in callers:
        caller.post("/v1/chat/completions", ASK)
    assert_quick(seconds_of(CALLS, asking))
    for caller in callers:
        caller.close()


@pytest.fixture(scope="module")
def told_after(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, dict[str, object]]]:
    """How long it took until an upstream's failure was told, and what was told then, by how it failed.

    With the default pace, and the default patience for an answer; all at the same time.
    """
    defaults = {**SHORT_LIMITS, "RELAY_HEALTH__PROBE_SECONDS": "10", "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "60"}
    dead, hanging = ScriptedUpstream().start(), ScriptedUpstream().start()
    upstreams = {"dead": dead, "hanging": hanging}
    with ExitStack() as stack:
        callers: dict[str, RawCaller] = {}
        for way, upstream in upstreams.items():
            relay = RelayProcess(upstream.base_url, tmp_path_factory.mktemp(way), defaults)
            stack.callback(relay.stop)
            callers[way] = stack.enter_context(RawCaller(relay.wait_ready().port))
            until(lambda caller=callers[way]: is_healthy(caller), 10, "a first measurement")  # type: ignore[misc]
        began = time.monotonic()
        stack.callback(hanging.stop)
        hanging.answer(silent)
        dead.stop()
        return {way: _time_of_failure(caller, began) for way, caller in callers.items()}


def _time_of_failure(caller: RawCaller, began: float) -> tuple[float, dict[str, object]]:
    until(lambda: not is_healthy(caller), 3 * TOLD_SECONDS_MAX, "the truth about the upstream")
    seconds = time.monotonic() - began
    assert health(caller, "/health/ready")[0] == 200, "an upstream's outage is no reason to send nothing here"
    return seconds, health(caller)[1]


@pytest.mark.parametrize(("way", "error"), [("dead", "upstream_unreachable"), ("hanging", "upstream_timeout")])
def test_an_upstream_that_fails_is_told_in_time(
    told_after: dict[str, tuple[float, dict[str, object]]], way: str, error: str
) -> None:
    seconds, told = told_after[way]
    print(f"{way}: told after {seconds:.1f} s")
    assert seconds <= TOLD_SECONDS_MAX
    assert (told["status"], told["error"]) == ("unhealthy", error)


def test_an_upstream_that_errs_is_unhealthy_until_it_is_back(upstream: ScriptedUpstream, asking: RawCaller) -> None:
    upstream.answer(every_request(lambda conn, _: conn.send(error_answer("500 Oops", "broken"))))
    until(lambda: not is_healthy(asking), 5, "the failure")
    upstream.answer(every_request(lambda conn, _: conn.send(LIST)))
    until(lambda: is_healthy(asking), 5, "the recovery")


def test_many_calls_are_never_billed_and_measure_no_more_often(
    upstream: ScriptedUpstream, often: RelayProcess, asking: RawCaller
) -> None:
    """What arrives is GET /v1/models alone, one at a time, at its own pace."""
    flight = Flight(slow)
    upstream.answer(every_request(flight))
    upstream.record.clear()
    began = time.monotonic()
    threads = [threading.Thread(target=_calls, args=(often.port, 100)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    until(lambda: len(upstream.requests) >= 2, 10, "two measurements")
    assert {(sent.method, sent.path, sent.body) for sent in upstream.requests} == {("GET", "/v1/models", b"")}
    assert len(upstream.requests) <= (time.monotonic() - began) / 1.5 + 2
    assert flight.most == 1


class Flight:
    """How many requests are under way at once, at most."""

    def __init__(self, answer: Answer) -> None:
        self.now = self.most = 0
        self._answer, self._lock = answer, threading.Lock()

    def __call__(self, conn: Connection, request: object) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            self._answer(conn, request)  # type: ignore[arg-type]
        finally:
            with self._lock:
                self.now -= 1


def _calls(port: int, count: int) -> None:
    with RawCaller(port) as caller:
        seconds_of(count, caller)


def test_ready_follows_the_store_and_live_does_not(upstream: ScriptedUpstream, start_relay: StartRelay) -> None:
    programs = postgresql_server.installed()
    if programs is None:
        pytest.skip("POSTGRESQL IS NOT TESTED: no server below /usr/lib/postgresql")
    with postgresql_server.serving(programs) as server:
        relay = start_relay(upstream.base_url, DATABASE_URL=server.fresh_database())
        key = relay.create_key("stored")
        with RawCaller(relay.port, key=key) as caller:
            until(lambda: health(caller, "/health/ready")[0] == 200, 10, "readiness")
            server.process.send_signal(signal.SIGINT)  # its connections are cut
            until(lambda: health(caller, "/health/ready")[0] == 503, 10, "the outage")
            assert health(caller, "/health/ready") == (503, {"status": "store_unavailable"})
            assert health(caller, "/health/live") == (200, {"status": "alive"})
            assert refusal(caller, ask(caller, ASK)) == (503, "store_unavailable")
        assert "Traceback" not in relay.stderr()
