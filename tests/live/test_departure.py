"""E1 to E3, E6: a caller that leaves, at any moment and in any way, stops its upstream within a second and keeps nothing."""

import itertools
import random
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import Script, chat_frame, chat_stream, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import chunk
from tests.live.cases import CHAT, STREAM, Owed, assert_within, endless, held, in_silence, nothing_left, saying, stream

NOTICED_SECONDS_MAX = 1.0
LEAVING = {"FIN": RawCaller.close, "RST": RawCaller.reset, "half-close": RawCaller.half_close}
SEED = 20_260_101
Leave = Callable[[RawCaller], None]


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = 2
        yield owed


@pytest.fixture(scope="module")
def only_slot(relay: RelayProcess) -> str:
    """A key with one slot."""
    return relay.create_key("one-slot", rpm=1_000_000, concurrent=1)


@pytest.fixture(params=LEAVING.values(), ids=LEAVING)
def leave(request: pytest.FixtureRequest) -> Leave:
    return request.param  # type: ignore[no-any-return]


def before_the_head(conn: Connection) -> None:
    conn.read_request()
    held(conn)


def while_talking(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    endless(conn, ONE)


def in_silent_json(conn: Connection) -> None:
    conn.read_request()
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + ONE)
    held(conn)


MOMENTS = {"before the head": before_the_head, "while talking": while_talking, "in silence": in_silence}


@pytest.fixture(params=MOMENTS.values(), ids=MOMENTS)
def moment(request: pytest.FixtureRequest) -> Script:
    return request.param  # type: ignore[no-any-return]


def arrive_at(moment: Script, upstream: ScriptedUpstream, caller: RawCaller) -> None:
    """Bring a request as far as the moment at which the caller is to leave."""
    upstream.answer(moment)
    caller.post(CHAT, STREAM)
    upstream.wait_for_requests(1)
    if moment is not before_the_head:
        caller.read_until(ONE) if caller.read_head() else None


def assert_noticed(upstream: ScriptedUpstream, relay: RelayProcess, only_slot: str, left: float, status: int) -> None:
    """The upstream is closed in time, the slot is free at that very moment, and the log says why."""
    assert_within(NOTICED_SECONDS_MAX, left, upstream.wait_for_peer_close())
    upstream.answer(saying(chat_stream("Hello")))
    with RawCaller(relay.port, key=only_slot) as caller:
        assert stream(caller) == (b"".join(chat_stream("Hello")), True)
    relay.wait_for_log_line(end="client_gone", status=status)


def status_at(moment: Script) -> int:
    return 499 if moment is before_the_head else 200


def test_a_caller_that_leaves_stops_its_upstream_and_frees_its_slot(
    upstream: ScriptedUpstream, relay: RelayProcess, only_slot: str, moment: Script, leave: Leave
) -> None:
    with RawCaller(relay.port, key=only_slot) as caller:
        arrive_at(moment, upstream, caller)
        left = time.monotonic()
        leave(caller)
        assert_noticed(upstream, relay, only_slot, left, status_at(moment))


def test_a_caller_that_leaves_during_json_is_noticed(
    upstream: ScriptedUpstream, relay: RelayProcess, only_slot: str, leave: Leave
) -> None:
    with RawCaller(relay.port, key=only_slot) as caller:
        upstream.answer(in_silent_json)
        caller.post(CHAT, {**STREAM, "stream": False})
        assert caller.read_head()[0] == 200
        left = time.monotonic()
        leave(caller)
        assert_noticed(upstream, relay, only_slot, left, 200)


@pytest.mark.parametrize("apart", [False, True], ids=["in one segment", "in a later segment"])
@pytest.mark.parametrize(("moment_", "way"), [*zip(MOMENTS, LEAVING, strict=True)])
def test_a_second_request_that_waits_hides_no_departure_and_never_starts(
    upstream: ScriptedUpstream, relay: RelayProcess, new_caller: Callable[[], RawCaller],
    only_slot: str, owed: Owed, moment_: str, way: str, apart: bool,
) -> None:  # fmt: skip
    owed.requests = None  # the second one may be told or not
    fill_the_pool(upstream, new_caller)
    first, second = request(only_slot, "first"), request(only_slot, "second")
    with RawCaller(relay.port, key=only_slot) as caller:
        upstream.answer(MOMENTS[moment_])
        caller.send(first if apart else first + second)
        upstream.wait_for_requests(3)
        caller.send(second) if apart else None
        if moment_ != "before the head":
            caller.read_head()
            caller.read_until(ONE)
        left = time.monotonic()
        LEAVING[way](caller)
        assert_noticed(upstream, relay, only_slot, left, status_at(MOMENTS[moment_]))
    assert [sent.header("traceparent") for sent in upstream.requests[2:]] == ["first", None]


def test_a_caller_that_leaves_nginx_is_noticed_behind_it(
    upstream: ScriptedUpstream, relay: RelayProcess, only_slot: str, nginx_port: int, moment: Script, leave: Leave
) -> None:
    with RawCaller(nginx_port, key=only_slot) as caller:
        arrive_at(moment, upstream, caller)
        left = time.monotonic()
        leave(caller)
        assert_noticed(upstream, relay, only_slot, left, status_at(moment))


def test_a_caller_that_leaves_after_its_response_opened_early_is_noticed(
    upstream: ScriptedUpstream, relay: RelayProcess, owed: Owed, start_relay: Callable[..., RelayProcess], leave: Leave
) -> None:
    owed.requests = 0
    early = start_relay(upstream.base_url, RELAY_STREAM__EARLY_OPEN_SECONDS="0.5", RELAY_HEALTH__PROBE_SECONDS="3600")
    key = early.create_key("one-slot", concurrent=1)
    with RawCaller(early.port, key=key) as caller:
        upstream.forget()
        upstream.answer(before_the_head)
        caller.post(CHAT, STREAM)
        assert caller.read_head()[0] == 200
        left = time.monotonic()
        leave(caller)
        assert_noticed(upstream, early, key, left, 499)


@pytest.mark.parametrize("aborts", [100, pytest.param(1_000, marks=pytest.mark.soak)])
def test_aborts_at_random_moments_leave_nothing_behind(
    upstream: ScriptedUpstream, relay: RelayProcess, only_slot: str, owed: Owed, aborts: int
) -> None:
    owed.requests = None  # a reset may come before the request was read
    chance = random.Random(SEED)
    upstream.answer(rambling(SEED))
    began = len(relay.log_lines())
    for _ in range(aborts):
        with RawCaller(relay.port, key=only_slot) as caller:
            caller.post(CHAT, {**STREAM, "stream": chance.random() < 0.8})
            time.sleep(chance.choice([0.0, 0.001, 0.003, 0.01, 0.03]) * 2 * chance.random())
            chance.choice(list(LEAVING.values()))(caller)
    until(lambda: upstream.busy == 0, NOTICED_SECONDS_MAX, "the end of all upstream connections")
    upstream.answer(saying(chat_stream("Hello")))
    with RawCaller(relay.port, key=only_slot) as caller:
        assert stream(caller) == (b"".join(chat_stream("Hello")), True)
    ends = [line["end"] for line in relay.log_lines()[began:] if line["error"] != "too_many_streams"]
    assert ends.count("client_gone") > aborts / 2, "most aborts must hit a request that was let in"


def rambling(seed: int) -> Script:
    """A head after a while, then frames now and then, until the caller is gone; each connection in its own rhythm."""
    seeds = itertools.count(seed)

    def script(conn: Connection) -> None:
        chance = random.Random(next(seeds))
        while True:
            conn.read_request()
            conn.stall(chance.random() * 0.01)
            conn.send(sse_head())
            for _ in range(1_000):
                conn.send(chunk(ONE))
                conn.stall(chance.random() * 0.01)

    return script


def fill_the_pool(upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller]) -> None:
    """Leave two idle connections to the upstream: what is sent on one of them is sent at once."""
    callers = [new_caller(), new_caller()]
    upstream.answer(saying(chat_stream("Hello"), pause_seconds=0.02))
    for caller in callers:
        caller.post(CHAT, STREAM)
    for caller in callers:
        assert caller.read_head()[0] == 200
        caller.read_all()
        caller.close()
    until(lambda: (upstream.open, upstream.busy) == (2, 0), what="two idle connections")


@pytest.fixture
def nginx_port(relay: RelayProcess, start_nginx: Callable[[str], Nginx]) -> int:
    return start_nginx(stock_location(relay.port)).port


def request(key: str, name: str) -> bytes:
    """A whole request as bytes; `name` goes on to the upstream in a header."""
    body = b'{"model":"gpt-test","stream":true,"messages":[]}'
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\ntraceparent: {name}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
