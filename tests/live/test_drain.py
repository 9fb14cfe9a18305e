"""F1: SIGTERM under many live streams. Readiness says so first, then the listener closes, streams may finish, and what
is left is told; nothing is cut without a word, and nothing is forgotten.
"""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.crowd import NEVER_BEGINS, STAYS, Counting, Crowd, entered, outcomes, told
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.waiting import until
from tests.live.cases import get, refusal

LAME_DUCK_SECONDS, DRAIN_SECONDS = 1.5, 3.0
# From the end of the drain to the exit: frames sent, rows and lines written. On an idle machine 2 are allowed.
LAST_SECONDS_MAX = 2.0 + 2.0
TIMES = {
    "RELAY_SERVER__LAME_DUCK_SECONDS": str(LAME_DUCK_SECONDS),
    "RELAY_SERVER__DRAIN_SECONDS": str(DRAIN_SECONDS),
}
FINISHING, STAYING, BEHIND_NGINX, WAITING = 100, 80, 20, 5


@dataclass(frozen=True)
class Drained:
    """What was seen of one drain. `said`: readiness while the listener was open; `seconds`: from SIGTERM on."""

    said: tuple[int, str]
    latecomers: dict[str, int]
    listener_seconds: float
    finishing: dict[str, int]
    staying: dict[str, int]
    behind_nginx: dict[str, int]
    waiting: list[tuple[int, str]]
    exit_code: int
    seconds: float
    told: dict[str, int]
    entered: dict[str, int]
    stderr: str


@pytest.fixture(scope="module", params=[1, WORKERS], ids=["1 worker", "4 workers"])
def drained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drained]:
    directory = tmp_path_factory.mktemp("drain")
    with ExitStack() as stack:
        redis_url = "" if request.param == 1 else stack.enter_context(running_redis()).url
        crew = stack.enter_context(crew_of(request.param, redis_url, directory, **TIMES))
        nginx = Nginx(stock_location(crew.relay.port), tmp_path_factory.mktemp("nginx"))
        stack.callback(nginx.stop)
        yield drain(crew, nginx.wait_ready(), stack)


def drain(crew: Crew, nginx: Nginx, stack: ExitStack) -> Drained:
    counting, relay = Counting(), crew.relay
    crew.upstream.answer(counting)
    key = crew.new_key(rpm=1_000_000, concurrent=10_000)
    crowd, behind = (stack.enter_context(Crowd(port, key)) for port in (relay.port, nginx.port))
    finishing, staying = crowd.join(FINISHING), crowd.join(STAYING, STAYS)
    behind_nginx, waiting = behind.join(BEHIND_NGINX, STAYS), crowd.ask(WAITING, NEVER_BEGINS)
    crew.upstream.wait_for_requests(FINISHING + STAYING + BEHIND_NGINX + WAITING, 20)
    began = time.monotonic()
    relay.program.signal(signal.SIGTERM)
    until(lambda: readiness(relay.port)[0] == 503, LAME_DUCK_SECONDS, "readiness that says so")
    said, latecomers = readiness(relay.port), crowd.join(2)
    until(lambda: not is_listening(relay.port), 10, "the listener's end")
    listener_seconds = time.monotonic() - began
    counting.release()
    exit_code = relay.program.wait(LAME_DUCK_SECONDS + DRAIN_SECONDS + 20)
    seconds = time.monotonic() - began
    return Drained(
        said=said,
        latecomers=outcomes(latecomers),
        listener_seconds=listener_seconds,
        finishing=outcomes(finishing),
        staying=outcomes(staying),
        behind_nginx=outcomes(behind_nginx),
        waiting=[refusal(caller, caller.read_answer_head()) for caller in waiting],
        exit_code=exit_code,
        seconds=seconds,
        told=told(relay),
        entered=entered(relay.database_path),
        stderr=relay.stderr(),
    )


def test_readiness_says_so_while_the_listener_still_serves(drained: Drained) -> None:
    assert drained.said == (503, "draining")
    assert drained.latecomers == {"whole": 2}


def test_then_the_listener_closes(drained: Drained) -> None:
    """gunicorn's worker looks once a second whether it is to go on."""
    assert LAME_DUCK_SECONDS <= drained.listener_seconds <= LAME_DUCK_SECONDS + 2


def test_streams_that_finish_in_time_are_whole(drained: Drained) -> None:
    assert drained.finishing == {"whole": FINISHING}


def test_the_others_are_told_and_not_taken_for_whole(drained: Drained) -> None:
    assert drained.staying == {"relay_draining": STAYING}


def test_the_others_are_told_through_nginx_too(drained: Drained) -> None:
    assert drained.behind_nginx == {"relay_draining": BEHIND_NGINX}


def test_who_still_waits_for_an_upstream_is_refused(drained: Drained) -> None:
    assert drained.waiting == [(503, "draining")] * WAITING


def test_it_ends_in_time_and_without_a_complaint(drained: Drained) -> None:
    print(f"the listener closed after {drained.listener_seconds:.1f} s, the end came after {drained.seconds:.1f} s")
    assert drained.exit_code == 0
    assert drained.seconds >= LAME_DUCK_SECONDS + DRAIN_SECONDS
    assert drained.seconds <= LAME_DUCK_SECONDS + DRAIN_SECONDS + LAST_SECONDS_MAX
    assert "graceful timeout" not in drained.stderr
    assert "Traceback" not in drained.stderr


def test_each_stream_has_its_line_and_its_row(drained: Drained) -> None:
    ends = {"done": FINISHING + 2, "drained": STAYING + BEHIND_NGINX, "shed": WAITING}
    assert (drained.told, drained.entered) == (ends, ends)


def test_with_nothing_to_finish_idle_connections_hold_nothing_up(
    module_upstream: object, start_relay: Callable[..., RelayProcess]
) -> None:
    relay = start_relay("http://127.0.0.1:9/v1", RELAY_SERVER__DRAIN_SECONDS="60")
    with RawCaller(relay.port) as idle, RawCaller(relay.port) as silent:
        until(lambda: readiness_of(idle) == (200, "ready"), 5, "readiness")
        silent.connect()
        began = time.monotonic()
        assert relay.stop(30) == 0
        assert time.monotonic() - began < 15
        assert idle.wait_closed()


def test_sigterm_right_after_sighup_drains_as_ever(tmp_path: Path) -> None:
    with crew_of(1, "", tmp_path) as crew, Crowd(crew.relay.port, crew.new_key(rpm=1000, concurrent=100)) as crowd:
        crew.upstream.answer(Counting())
        staying = crowd.join(20, STAYS)
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
            crew.relay.program.signal(number)
        assert crew.relay.program.wait() == 0
        assert outcomes(staying) == {"relay_draining": 20}
        assert told(crew.relay) == entered(crew.relay.database_path) == {"drained": 20}


def readiness(port: int) -> tuple[int, str]:
    with RawCaller(port) as caller:
        return readiness_of(caller)


def readiness_of(caller: RawCaller) -> tuple[int, str]:
    head = get(caller, "/health/ready")
    return head.status, json.loads(caller.read_all())["status"]


def is_listening(port: int) -> bool:
    time.sleep(0.02)  # each look is a connection that somebody has to end
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
