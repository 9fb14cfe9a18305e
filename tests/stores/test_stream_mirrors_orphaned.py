"""Mirrors whose process died, was taken for dead, or was cut off: what their readers are told, and when."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from relay.stores.stream_copy import LEASE_SECONDS
from relay.stores.stream_record import head_key, log_key, producer_key
from tests.stores.redis_server import RedisServer
from tests.stores.stream_processes import (
    DONE,
    KEEPING,
    STREAM,
    Process,
    Reader,
    count,
    expected,
    new_subject,
    settle,
    tick,
    whole,
)


@pytest.fixture
def one(redis: RedisServer) -> Iterator[Process]:
    process = Process(redis.url)
    yield process
    process.close()


@pytest.fixture
def other(redis: RedisServer) -> Iterator[Process]:
    process = Process(redis.url)
    yield process
    process.close()


def kill(process: Process, redis: RedisServer) -> None:
    """Its lease is over; it writes no more."""
    redis.client.delete(producer_key(process.streams.producer))
    process.streams.listener.close()


def test_followers_of_a_dead_process_are_told_once_by_whoever_sees_it(one: Process, redis: RedisServer) -> None:
    others = [Process(redis.url), Process(redis.url)]
    kept = one.live("c", frames=3)
    found = [process.found(kept) for process in others]
    settle(*others)
    kill(one, redis)
    tick(1, *others)
    for mirror in found:
        assert (mirror.status, mirror.outcome and mirror.outcome.error) == ("failed", "relay_restarted")
        assert whole(mirror, 3).startswith(b"id: %b:4\ndata: " % kept.subject.id.encode())
        assert whole(mirror, 3).count(b"relay_restarted") == 1
    assert others[0].streams.claim(new_subject(), "c")[0] is found[0]
    assert 0 < redis.client.pttl(head_key(kept.subject.id)) <= KEEPING.keep_seconds * 1000
    for process in others:
        process.close()


def test_who_asks_for_the_stream_of_a_dead_process_later_is_told_at_once(
    one: Process, other: Process, redis: RedisServer
) -> None:
    kept = one.live(frames=3)
    waiting, _ = one.streams.claim(new_subject(), None)
    settle(one)
    kill(one, redis)
    assert other.found(kept).status == "failed"
    never = other.found(waiting)
    assert never.head is not None
    assert (never.status, whole(never).count(b"relay_restarted")) == ("failed", 1)


def test_a_process_that_was_taken_for_dead_writes_no_more_and_goes_on_for_its_own(
    one: Process, other: Process, redis: RedisServer
) -> None:
    kept = one.live(frames=3)
    kill(one, redis)
    assert other.found(kept).status == "failed"
    count(kept, 3)
    kept.end(DONE)
    settle(one)
    assert (one.found(kept), kept.status) == (kept, "done")
    third = Process(redis.url)
    found = third.found(kept)
    assert (found.status, found.log.last_seq) == ("failed", 4)
    third.close()


def test_a_living_process_is_not_taken_for_dead(one: Process, other: Process) -> None:
    kept = one.live(frames=3)
    found = other.found(kept)
    found.join(Reader())
    for _ in range(5):
        tick(LEASE_SECONDS / 2, one, other)
    assert found.status == "live"


def test_after_redis_was_away_a_missing_lease_says_nothing_for_a_while(
    one: Process, other: Process, redis: RedisServer
) -> None:
    kept = one.live(frames=3)
    found = other.found(kept)
    found.join(Reader())
    kill(one, redis)
    other.streams.mirrors.return_of_redis(LEASE_SECONDS)
    tick(LEASE_SECONDS - 1, other)
    assert found.status == "live"
    tick(2, other)
    assert found.status == "failed"


def test_a_stream_that_redis_lost_ends_unless_its_process_enters_it_again(
    one: Process, other: Process, redis: RedisServer
) -> None:
    kept, lost = one.live(frames=3), one.live(frames=3)
    found, gone = other.found(kept), other.found(lost)
    for mirror in (found, gone):
        mirror.join(Reader())
    settle(other)
    for each in (kept, lost):
        redis.client.delete(head_key(each.subject.id), log_key(each.subject.id))
    other.streams.mirrors.return_of_redis(LEASE_SECONDS)
    settle(other)
    count(kept, 1)
    settle(one, other)
    tick(LEASE_SECONDS + 1, other)
    assert (found.status, whole(found)) == ("live", expected(kept, 0, 4))
    assert (gone.status, gone.outcome and gone.outcome.error) == ("failed", "relay_restarted")


def test_a_body_that_is_no_event_stream_gets_no_frame_when_its_process_dies(
    one: Process, other: Process, redis: RedisServer
) -> None:
    kept, _ = one.streams.claim(new_subject(), None)
    kept.open(replace(STREAM, is_stream=False))
    kept.append(b'{"a":', 1)
    settle(one)
    kill(one, redis)
    found = other.found(kept)
    assert (found.status, whole(found)) == ("failed", b'{"a":')
