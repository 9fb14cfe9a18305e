"""F7, F10, F12: the disk is full, descriptors are used up, nobody reads the log. Streams go on, what is lost is
counted, and all is well when there is room again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import SEND_SECONDS_MAX
from tests.live.bench.crowd import STAYS, Counting, Crowd, entered, is_intact, outcomes
from tests.live.bench.narrow import Disk, LimitedFiles, PipedRelay, limit_descriptors, small_disk
from tests.live.bench.relay_process import RelayProcess, canonical_lines
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.workers import PATIENT
from tests.live.cases import ASK, CHAT, ask, get, refusal

pytestmark = pytest.mark.alone

DESCRIPTORS = 256
ASKED = 300  # twice as many as there can be streams: each needs a descriptor on either side
LINES_MAX = 10_000  # of the log's queue
LINES_BEYOND = 500
RESUMED_SECONDS_MAX = 5.0
StartRelay = Callable[..., RelayProcess]


def figure(relay: RelayProcess, name: str) -> float:
    with RawCaller(relay.port) as caller:
        get(caller, "/metrics")
        [line] = [line for line in caller.read_all().decode().splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])


def answers(relay: RelayProcess, key: str, count: int) -> int:
    """How many of so many requests, one after another, are answered well."""
    with RawCaller(relay.port, key=key) as caller:
        return sum((ask(caller, ASK).status, len(caller.read_all()) > 0) == (200, True) for _ in range(count))


@pytest.fixture(params=["small disk", "limited files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """Where nothing can be mounted, both are limited files."""
    with small_disk(tmp_path) as mounted:
        yield mounted if mounted and request.param == "small disk" else LimitedFiles()


@pytest.fixture
def relay_on_disk(disk: Disk, upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[RelayProcess]:
    relay = RelayProcess(upstream.base_url, tmp_path, PATIENT)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


def test_a_full_disk_stops_no_stream_and_loses_no_row(
    relay_on_disk: RelayProcess, disk: Disk, upstream: ScriptedUpstream
) -> None:
    relay, counting = relay_on_disk, Counting()
    key = relay.create_key("full disk", rpm=1_000_000, concurrent=1_000)
    upstream.answer(counting)
    assert answers(relay, key, 20) == 20
    with Crowd(relay.port, key) as crowd:
        streams = crowd.join(20)
        disk.fill(relay)
        assert answers(relay, key, 50) == 50
        until(lambda: figure(relay, "relay_usage_write_errors") >= 2, 10, "failed writes that are counted")
        assert figure(relay, "relay_log_lines_dropped") > 0
        assert answers(relay, key, 50) == 50
        disk.free(relay)
        counting.release()
        assert outcomes(streams) == {"whole": 20}
    until(lambda: entered(relay.database_path) == {"done": 140}, 10, "a row for each request")
    assert answers(relay, key, 5) == 5
    assert relay.stop() == 0
    assert entered(relay.database_path) == {"done": 145}
    assert is_intact(relay.database_path)
    assert "Traceback" not in relay.stderr()


def test_a_line_that_a_full_disk_tore_takes_no_other_with_it(
    relay_on_disk: RelayProcess, disk: Disk, upstream: ScriptedUpstream
) -> None:
    relay = relay_on_disk
    key = relay.create_key("full disk", rpm=1_000_000)
    assert answers(relay, key, 20) == 20
    disk.fill(relay)
    assert answers(relay, key, 50) == 50
    until(lambda: figure(relay, "relay_log_lines_dropped") > 0, 5, "lost lines")
    disk.free(relay)
    assert answers(relay, key, 20) == 20
    until(lambda: relay.log_lines()[-1]["route"] == CHAT, 5, "lines again")
    torn = [line for line in relay.stdout().splitlines() if line.count('"request_id"') > 1]
    assert not torn


def test_used_up_descriptors_cut_no_stream_and_service_resumes(
    upstream: ScriptedUpstream, start_relay: StartRelay
) -> None:
    relay, counting = start_relay(upstream.base_url, **PATIENT), Counting()
    key = relay.create_key("crowd", rpm=1_000_000, concurrent=10_000)
    upstream.answer(counting)
    assert answers(relay, key, 3) == 3
    before = relay.descriptors() - relay.sockets_to(upstream.port)
    limit_descriptors(relay, DESCRIPTORS)
    with Crowd(relay.port, key) as living, ExitStack() as crowd:
        streams = living.join(20)
        callers = crowd.enter_context(Crowd(relay.port, key)).ask(ASKED, STAYS)
        statuses = {status_of(caller) for caller in callers}
        assert statuses <= {200, 502, 503, None}, "None: still waits to be accepted"
        assert statuses != {200}, "there were descriptors for all"
        crowd.close()
        until(lambda: is_served(relay, key), RESUMED_SECONDS_MAX, "service again")
        counting.release()
        assert outcomes(streams) == {"whole": 20}
    until(
        lambda: relay.descriptors() - relay.sockets_to(upstream.port) <= before,
        RESUMED_SECONDS_MAX,
        "the descriptors as before",
    )
    complaints = relay.stderr()  # gevent tells each attempt to accept
    assert complaints.count("Traceback") == complaints.count("in do_read\nOSError: [Errno 24] Too many open files")


def test_a_lack_of_descriptors_is_not_the_upstreams_fault(upstream: ScriptedUpstream, start_relay: StartRelay) -> None:
    relay = start_relay(upstream.base_url, **PATIENT)
    key = relay.create_key("one", rpm=1_000_000)
    with RawCaller(relay.port, key=key) as caller:
        assert ask(caller, ASK).status == 200
        caller.read_all()
        upstream.hang_up()
        limit_descriptors(relay, 3)
        head = ask(caller, ASK)
        limit_descriptors(relay, DESCRIPTORS)
        assert refusal(caller, head) == (503, "overloaded")
        assert caller.wait_closed()
    with RawCaller(relay.port, key=key) as caller:
        assert ask(caller, ASK).status == 200


def status_of(caller: RawCaller) -> int | None:
    try:
        return caller.read_head(0.5 if caller.received else 0.05)[0]
    except TimeoutError:
        return None


def is_served(relay: RelayProcess, key: str) -> bool:
    try:
        return answers(relay, key, 1) == 1
    except (OSError, TimeoutError):
        return False


@pytest.fixture
def piped(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[PipedRelay]:
    relay = PipedRelay(upstream.base_url, tmp_path, PATIENT)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()
        relay.close()


def test_a_log_that_nobody_reads_stops_no_stream_and_what_is_lost_is_counted(
    piped: PipedRelay, upstream: ScriptedUpstream
) -> None:
    relay, counting = piped, Counting()
    key = relay.create_key("unread", rpm=1_000_000, concurrent=100)
    upstream.answer(counting)
    with Crowd(relay.port, key) as crowd:
        streams = crowd.join(20)
        asked = flood(relay.port, LINES_MAX + LINES_BEYOND)
        until(lambda: figure(relay, "relay_log_lines_dropped") > 0, 5, "lost lines that are counted")
        assert answers(relay, key, 5) == 5
        counting.release()
        assert outcomes(streams) == {"whole": 20}
    dropped = figure(relay, "relay_log_lines_dropped")
    read = read_on(relay, asked - int(dropped))
    print(f"{asked} asked, {dropped:.0f} lines dropped, {len(canonical_lines(read))} read in the end")
    assert asked <= dropped + len(canonical_lines(read)) <= asked + 200  # and those of the rest of this test
    assert relay.stop() == 0


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(piped: PipedRelay) -> None:
    flood(piped.port, 200)
    began = time.monotonic()
    assert piped.stop() == 0
    assert time.monotonic() - began < 8


def flood(port: int, count: int) -> int:
    """So many requests that end at once, each with its line; many on their way at a time."""
    request = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    batch = 100
    with RawCaller(port) as caller:
        for _ in range(count // batch):
            caller.send(request * batch)
            for _ in range(batch):
                assert caller.read_head(SEND_SECONDS_MAX)[0] == 404
                caller.read_all()
    return count // batch * batch


def read_on(relay: PipedRelay, lines_min: int) -> str:
    read = bytearray()

    def is_all() -> bool:
        while data := relay.read():
            read.extend(data)
        return read.count(b"\n") >= lines_min

    until(is_all, 15, "what had waited in the log")
    return read.decode()
