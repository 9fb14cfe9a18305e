"""A connection that breaks costs nothing: cut anywhere, come back in any way, and the text is whole, from one call."""

import random
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import CHAT, STREAM, Owed, nothing_left
from tests.live.resuming import (
    KEEP,
    WAYS,
    ComeBack,
    Kept,
    begin,
    by_ticket,
    calls,
    cut_and_come_back,
    read_some,
    telling,
    texts,
)

FRAMES = 2000
SAID = texts(FRAMES - 2)
Connect = Callable[[], RawCaller]


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        upstream.answer(telling(SAID, at_once=10, pause_seconds=0.002))
        yield owed


@pytest.fixture
def connect(relay: RelayProcess, key: str) -> Connect:
    return lambda: RawCaller(relay.port, key=key)


def places(count: int, dice: random.Random) -> list[int]:
    return sorted(dice.sample(range(1, FRAMES), count))


def assert_one_call(upstream: ScriptedUpstream) -> None:
    assert calls(upstream) == 1
    assert upstream.peer_closes == []


def read_with_cuts(connect: Connect, upstream: ScriptedUpstream, owed: Owed, count: int, come_back: ComeBack) -> None:
    dice = random.Random(count)
    got, kept = cut_and_come_back(connect, places(count, dice), come_back, dice)
    assert got == kept.frames(SAID)
    owed.requests = 1 + count
    assert_one_call(upstream)


def any_way(caller: RawCaller, kept: Kept, seq: int) -> object:
    return random.Random(seq).choice([*WAYS.values()])(caller, kept, seq)


def test_cut_at_200_places_it_comes_back_each_time(connect: Connect, upstream: ScriptedUpstream, owed: Owed) -> None:
    read_with_cuts(connect, upstream, owed, 200, any_way)  # type: ignore[arg-type]


@pytest.mark.soak
@pytest.mark.parametrize("way", WAYS)
def test_it_comes_back_in_each_way_200_times(
    connect: Connect, upstream: ScriptedUpstream, owed: Owed, way: str
) -> None:
    read_with_cuts(connect, upstream, owed, 200, WAYS[way])


def test_it_comes_back_through_nginx(
    relay: RelayProcess, key: str, upstream: ScriptedUpstream, owed: Owed, start_nginx: Callable[[str], Nginx]
) -> None:
    nginx = start_nginx(stock_location(relay.port))
    read_with_cuts(lambda: RawCaller(nginx.port, key=key), upstream, owed, 30, any_way)  # type: ignore[arg-type]


def test_the_same_request_under_its_key_begins_where_the_stream_does(
    connect: Connect, upstream: ScriptedUpstream, owed: Owed
) -> None:
    """It names no frame, so all of it comes again."""
    dice, got = random.Random(7), b""
    cuts = [*places(10, dice), FRAMES]
    for seq in cuts:
        with connect() as caller:
            kept = begin(caller, ("Idempotency-Key", "again"))
            got = read_some(caller, seq)
            assert got == kept.frames(SAID[:seq])
    owed.requests = len(cuts)
    assert_one_call(upstream)


def test_seven_followers_at_random_places_read_the_same(
    connect: Connect, upstream: ScriptedUpstream, owed: Owed
) -> None:
    owed.requests, dice = 8, random.Random(7)
    read: dict[int, bytes] = {}

    def follow(kept: Kept, after: int) -> None:
        with connect() as caller:
            assert WAYS["starting_after"](caller, kept, after).status == 200
            read[after] = read_some(caller, FRAMES)

    with connect() as caller:
        kept = begin(caller)
        followers = [threading.Thread(target=follow, args=(kept, after)) for after in dice.sample(range(FRAMES), 7)]
        for follower in followers:
            follower.start()
        whole = read_some(caller, FRAMES)
        for follower in followers:
            follower.join(20)
    assert whole == kept.frames(SAID)
    frames = [frame + b"\n\n" for frame in whole.split(b"\n\n")[:-1]]
    assert len(read) == 7
    for after, got in read.items():
        assert got == b"".join(frames[after:]), after
    assert_one_call(upstream)


def test_an_id_that_is_none_of_ours_means_nothing_on_a_plain_request(
    connect: Connect, upstream: ScriptedUpstream, owed: Owed
) -> None:
    upstream.answer(telling(texts(2)))
    names = ("rs_x:1", "17", "", "x" * 300, "rs_0123456789012345678901")
    owed.requests = len(names)
    for named in names:
        with connect() as caller:
            caller.post(CHAT, STREAM, [("Last-Event-ID", named)])
            head = caller.read_answer_head()
            assert (head.status, head.header("relay-stream-id")) == (200, None), named
            assert caller.read_all() == b"".join(texts(2))


def test_the_whole_stream_can_be_read_again_until_it_expires(
    connect: Connect, upstream: ScriptedUpstream, owed: Owed
) -> None:
    with connect() as caller:
        kept = begin(caller, KEEP)
        assert caller.read_all(20) == kept.frames(SAID)
        assert caller.ended_cleanly
    for _ in range(3):
        with connect() as caller:
            assert by_ticket(caller, kept, 0).status == 200
            assert caller.read_all(20) == kept.frames(SAID)
            assert caller.ended_cleanly
    owed.requests = 4
    assert_one_call(upstream)
