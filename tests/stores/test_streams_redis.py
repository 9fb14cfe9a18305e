"""Streams in Redis, seen from several processes: one makes them, the others find, follow, cancel and forget them."""

from collections.abc import Callable, Iterator

import pytest

from relay.core.errors import RelayError
from relay.stores.streams import MemoryStreams
from relay.stores.streams_redis import open_streams
from tests.stores.redis_server import RedisServer
from tests.stores.stream_processes import (
    DONE,
    JSON,
    KEEPING,
    STREAM,
    Process,
    Reader,
    count,
    expected,
    new_subject,
    settle,
    whole,
)

Start = Callable[[], Process]


@pytest.fixture
def start(redis: RedisServer) -> Iterator[Start]:
    """One more process on an empty Redis."""
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(redis.url))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def one(start: Start) -> Process:
    return start()


@pytest.fixture
def other(start: Start) -> Process:
    return start()


def test_the_url_decides_which_twin_it_is(redis: RedisServer) -> None:
    assert isinstance(open_streams("", KEEPING, lambda where, error: None), MemoryStreams)
    shared = open_streams(redis.url, KEEPING, lambda where, error: None)
    assert not isinstance(shared, MemoryStreams)
    shared.close()


def test_another_process_finds_a_stream_with_its_history_and_hears_what_follows(one: Process, other: Process) -> None:
    kept = one.live(frames=5)
    found = other.found(kept)
    assert (found.subject, found.head, found.is_ours, found.status) == (kept.subject, STREAM, False, "live")
    assert whole(found) == expected(kept, 0, 5)
    count(kept, 5)
    settle(one, other)
    assert whole(found, 3) == expected(kept, 3, 10)
    kept.end(DONE)
    settle(one, other)
    assert (found.outcome, other.streams.expires_at(found)) == (
        DONE,
        pytest.approx(one.streams.expires_at(kept), abs=2),
    )


def test_a_process_finds_its_own_stream_without_a_mirror(one: Process) -> None:
    kept = one.live()
    assert one.streams.find(kept.subject.id) is kept
    assert one.streams.followed_elsewhere([kept]) == set()


def test_a_stream_that_its_process_dropped_is_read_from_redis(one: Process) -> None:
    kept = one.live(frames=5)
    kept.end(DONE)
    settle(one)
    one.streams._mine.remove(kept)
    found = one.found(kept)
    assert (found is kept, found.outcome, whole(found)) == (False, DONE, expected(kept, 0, 5))


def test_a_body_that_is_no_event_stream_arrives_in_its_own_pieces(one: Process, other: Process) -> None:
    kept, _ = one.streams.claim(new_subject(), None)
    kept.open(JSON)
    for seq, piece in enumerate((b'{"a":', b"\n\n", b"1}"), 1):
        kept.append(piece, seq)
    settle(one)
    found = other.found(kept)
    assert list(found.log.pieces()) == [(b'{"a":', 1), (b"\n\n", 2), (b"1}", 3)]


def test_who_waits_elsewhere_for_a_stream_that_is_refused_is_refused_likewise(one: Process, other: Process) -> None:
    kept, _ = one.streams.claim(new_subject(), "c")
    settle(one)
    found, _ = other.streams.claim(new_subject(), "c")
    told: list[str] = []
    found.on_head.append(lambda: told.append("head"))
    settle(one, other)
    refusal = RelayError("too_many_streams", "Too many.", param="n", retry_after_seconds=2.5, headers=(("x-a", "b"),))
    refusal.upstream_status = 429
    kept.refuse(refusal)
    one.streams.remove(kept)
    settle(one, other)
    assert told == ["head"]
    assert found.refusal is not None
    assert found.refusal.__dict__ == refusal.__dict__
    assert found.refusal.headers() == refusal.headers()
    assert other.streams.claim(new_subject(), "c")[1]


def test_a_cancel_reaches_the_process_that_makes_the_stream_and_no_other(start: Start) -> None:
    one, other, third = start(), start(), start()
    kept = one.live()
    other.streams.ask_to_cancel(other.found(kept))
    settle(one, other, third)
    assert (one.cancelled, other.cancelled, third.cancelled) == ([kept.subject.id], [], [])


def test_a_cancel_that_nobody_hears_is_no_success(one: Process, other: Process) -> None:
    found = other.found(one.live())
    one.streams.listener.close()
    with pytest.raises(RelayError) as refused:
        while True:  # until Redis has noticed
            other.streams.ask_to_cancel(found)
    assert refused.value.code == "store_unavailable"


def test_what_one_process_forgets_is_cancelled_and_unknown_to_all(start: Start) -> None:
    one, other, third = start(), start(), start()
    kept = one.live("c", frames=3)
    follower = third.found(kept)
    follower.join(Reader())
    settle(one, other, third)
    other.streams.remove(other.found(kept))
    assert other.streams.find(kept.subject.id) is None
    settle(one, other, third)
    assert one.cancelled == [kept.subject.id]
    assert [process.streams.find(kept.subject.id) for process in (one, other, third)] == [None] * 3
    assert (follower.status, b"cancelled" in whole(follower)) == ("cancelled", True)
    count(kept, 3)
    kept.end(DONE)
    settle(one, other, third)
    assert third.streams.find(kept.subject.id) is None
    assert other.streams.claim(new_subject(), "c")[1]


def test_a_process_knows_which_of_its_streams_are_followed_elsewhere(one: Process, other: Process) -> None:
    kept, alone = one.live(), one.live()
    other.found(kept)
    settle(other)
    assert one.streams.followed_elsewhere([alone, kept]) == {kept.subject.id}
