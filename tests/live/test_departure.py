"""E1 to E3, E6: a caller that leaves, at any moment and in any way, stops its upstream within a second."""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import Script, chat_stream, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import chunk
from tests.live.cases import (
    ASK,
    CHAT,
    ONE,
    STREAM,
    Owed,
    assert_within,
    endless,
    fill_the_pool,
    held,
    in_silence,
    nothing_left,
    saying,
    stream,
)

NOTICED_SECONDS_MAX = 1.0
SEED = 20_260_101
WHOLE = b"".join(chat_stream("Hello"))
LEAVING = {"FIN": RawCaller.close, "RST": RawCaller.reset, "half-close": RawCaller.half_close}
Leave = Callable[[RawCaller], None]


def before_the_head(conn: Connection) -> None:
    conn.read_request()
    held(conn)


def while_talking(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    endless(conn, ONE)


def in_a_flood(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    endless(conn, b"data: " + b"x" * 100_000 + b"\n\n", 0)


def in_silent_json(conn: Connection) -> None:
    conn.read_request()
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + ONE)
    held(conn)


MOMENTS = {"before the head": before_the_head, "while talking": while_talking, "in silence": in_silence}


@dataclass(frozen=True)
class Scene:
    """A relay, its upstream, and a key with one slot."""

    relay: RelayProcess
    upstream: ScriptedUpstream
    key: str
    owed: Owed

    def connect(self, port: int = 0) -> RawCaller:
        return RawCaller(port or self.relay.port, key=self.key)

    def after(self, requests: int) -> "Scene":
        """The same for what comes after the first requests of this test."""
        self.owed.line(requests - 1)
        return replace(self, owed=Owed(self.relay, self.owed.lines_before + requests))

    def is_quiet(self) -> bool:
        return self.upstream.busy == 0 and self.relay.sockets_from_callers() == 0

    def bring_to(self, moment: Script, caller: RawCaller, raw: bytes = b"") -> None:
        """Bring a request, or these bytes, as far as the moment at which the caller is to leave."""
        seen = len(self.upstream.requests)
        self.upstream.answer(moment)
        caller.send(raw) if raw else caller.post(CHAT, STREAM)
        self.upstream.wait_for_requests(seen + 1)
        if moment is not before_the_head:
            caller.read_head()
            caller.read_until(ONE)

    def assert_noticed(self, left: float, status: int) -> None:
        """The upstream is closed in time, the slot is free at that very moment, and the log says why."""
        assert_within(NOTICED_SECONDS_MAX, left, self.upstream.wait_for_peer_close())
        self.upstream.answer(saying(chat_stream("Hello")))
        with self.connect() as caller:
            assert stream(caller) == (WHOLE, True)
        line = self.owed.line()
        assert (line["end"], line["status"]) == ("client_gone", status)


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = 2
        yield owed


@pytest.fixture(scope="module")
def only_slot(relay: RelayProcess) -> str:
    return relay.create_key("one-slot", rpm=1_000_000, concurrent=1)


@pytest.fixture
def scene(relay: RelayProcess, upstream: ScriptedUpstream, only_slot: str, owed: Owed) -> Scene:
    return Scene(relay, upstream, only_slot, owed)


@pytest.fixture(params=LEAVING.values(), ids=list(LEAVING))
def leave(request: pytest.FixtureRequest) -> Leave:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=MOMENTS.values(), ids=list(MOMENTS))
def moment(request: pytest.FixtureRequest) -> Script:
    return request.param  # type: ignore[no-any-return]


def status_at(moment: Script) -> int:
    return 499 if moment is before_the_head else 200


def test_a_caller_that_leaves_stops_its_upstream_and_frees_its_slot(scene: Scene, moment: Script, leave: Leave) -> None:
    with scene.connect() as caller:
        scene.bring_to(moment, caller)
        left = time.monotonic()
        leave(caller)
        scene.assert_noticed(left, status_at(moment))


def test_a_caller_that_leaves_during_json_is_noticed(scene: Scene, leave: Leave) -> None:
    with scene.connect() as caller:
        scene.upstream.answer(in_silent_json)
        caller.post(CHAT, ASK)
        assert caller.read_head()[0] == 200
        left = time.monotonic()
        leave(caller)
        scene.assert_noticed(left, 200)


def test_a_caller_that_leaves_while_it_takes_nothing_is_noticed(scene: Scene, leave: Leave) -> None:
    with scene.connect() as caller:
        scene.bring_to(in_a_flood, caller)
        time.sleep(0.5)  # until every buffer on the way is full
        left = time.monotonic()
        leave(caller)
        scene.assert_noticed(left, 200)


def test_a_caller_that_leaves_nginx_is_noticed_behind_it(
    scene: Scene, start_nginx: Callable[[str], Nginx], moment: Script
) -> None:
    nginx = start_nginx(stock_location(scene.relay.port))
    scene.owed.requests = 2 * len(LEAVING)
    for turn, leave in enumerate(LEAVING.values()):
        scene.upstream.forget()
        with scene.connect(nginx.port) as caller:
            now = scene.after(2 * turn) if turn else scene
            now.bring_to(moment, caller)
            left = time.monotonic()
            leave(caller)
            now.assert_noticed(left, status_at(moment))


def test_a_caller_that_leaves_after_its_response_opened_early_is_noticed(
    upstream: ScriptedUpstream, owed: Owed, start_relay: Callable[..., RelayProcess]
) -> None:
    owed.requests = 0
    relay = start_relay(upstream.base_url, RELAY_STREAM__EARLY_OPEN_SECONDS="0.3", RELAY_HEALTH__PROBE_SECONDS="3600")
    key = relay.create_key("one-slot", concurrent=1)
    for leave in LEAVING.values():
        upstream.forget()
        scene = Scene(relay, upstream, key, Owed(relay, len(relay.log_lines())))
        with scene.connect() as caller:
            scene.bring_to(before_the_head, caller)
            assert caller.read_head()[0] == 200
            left = time.monotonic()
            leave(caller)
            scene.assert_noticed(left, 499)
            scene.owed.line(1)


@pytest.mark.parametrize("apart", [False, True], ids=["in one segment", "in a later segment"])
@pytest.mark.parametrize("case", [*zip(MOMENTS, LEAVING, strict=True)], ids=" ".join)
def test_a_second_request_that_waits_hides_no_departure_and_never_starts(
    scene: Scene, new_caller: Callable[[], RawCaller], owed: Owed, case: tuple[str, str], apart: bool
) -> None:
    owed.requests = 4  # two fill the pool, the first, the one that shows that its slot is free
    moment, leave = MOMENTS[case[0]], LEAVING[case[1]]
    fill_the_pool(scene.upstream, new_caller)
    scene = scene.after(2)
    first, second = request(scene.key, "first"), request(scene.key, "second")
    with scene.connect() as caller:
        scene.bring_to(moment, caller, first if apart else first + second)
        if apart:
            caller.send(second)
            time.sleep(0.1)  # it must have been seen without an end behind it
        left = time.monotonic()
        leave(caller)
        scene.assert_noticed(left, status_at(moment))
    assert [sent.header("traceparent") for sent in scene.upstream.requests[2:]] == ["first", None]


@pytest.mark.parametrize("aborts", [100, pytest.param(1_000, marks=pytest.mark.soak)])
def test_aborts_at_random_moments_leave_nothing_behind(scene: Scene, owed: Owed, aborts: int) -> None:
    owed.requests = None  # a reset may come before the request was read
    began, chance = len(scene.relay.log_lines()), random.Random(SEED)
    scene.upstream.answer(rambling(SEED))
    for _ in range(aborts):
        with scene.connect() as caller:
            caller.post(CHAT, {**STREAM, "stream": chance.random() < 0.8})
            time.sleep(chance.choice([0.0, 0.001, 0.003, 0.01, 0.03]) * 2 * chance.random())
            chance.choice(list(LEAVING.values()))(caller)
    with scene.connect() as last:  # accepted in turn: all before it have been, too
        last.get("/health/live")
        assert last.read_head()[0] == 200
    until(scene.is_quiet, NOTICED_SECONDS_MAX, "the end of all connections")
    scene.upstream.answer(saying(chat_stream("Hello")))
    with scene.connect() as caller:
        assert stream(caller) == (WHOLE, True)
    ends = [line["end"] for line in scene.relay.log_lines()[began:] if line["error"] != "too_many_streams"]
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


def request(key: str, name: str) -> bytes:
    """A whole request as bytes; `name` goes on to the upstream in a header."""
    body = b'{"model":"gpt-test","stream":true,"messages":[]}'
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\ntraceparent: {name}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
