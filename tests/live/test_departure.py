"""E1 to E3, E6: a caller that leaves, at any moment and in any way, stops its upstream within a second."""

import random
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import Script, chat_stream
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.cases import (
    ASK,
    CHAT,
    STREAM,
    Owed,
    fill_the_pool,
    nothing_left,
    saying,
    stream,
)
from tests.live.departures import (
    LEAVING,
    MOMENTS,
    NOTICED_SECONDS_MAX,
    SEED,
    WHOLE,
    Leave,
    Scene,
    before_the_head,
    in_a_flood,
    in_silent_json,
    rambling,
    request,
    status_at,
)


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
