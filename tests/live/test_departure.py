"""E1 to E3, E6: a caller that leaves, at any moment and in any way, stops its upstream within a second."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import Script
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import (
    ASK,
    CHAT,
    Owed,
    fill_the_pool,
    nothing_left,
)
from tests.live.departures import (
    LEAVING,
    MOMENTS,
    Leave,
    Scene,
    before_the_head,
    in_a_flood,
    in_silent_json,
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
