"""Mirrors: fed from Redis while somebody needs them, and ended when the process that feeds them is gone."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from relay.stores.stream_mirrors import IDLE_SECONDS, PAGE
from tests.stores.conftest import Reports
from tests.stores.redis_server import RedisServer
from tests.stores.stream_processes import (
    DONE,
    KEEPING,
    Process,
    Reader,
    count,
    expected,
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


def test_a_mirror_that_nobody_needs_is_dropped_and_made_anew(one: Process, other: Process) -> None:
    kept = one.live(frames=3)
    found = other.found(kept)
    settle(other)
    assert other.streams.tally.bytes > 0
    tick(IDLE_SECONDS + 1, other)
    assert other.streams.tally.bytes == 0
    assert one.streams.followed_elsewhere([kept]) == set()
    again = other.found(kept)
    assert (again is found, whole(again)) == (False, expected(kept, 0, 3))


@pytest.mark.parametrize("how", ["reads", "waits"])
def test_a_mirror_that_somebody_needs_stays(one: Process, other: Process, how: str) -> None:
    kept = one.live(frames=3)
    found = other.found(kept)
    if how == "reads":
        found.join(Reader())
    else:
        found.waiting += 1
    tick(10 * IDLE_SECONDS, other)
    count(kept, 1)
    settle(one, other)
    assert other.found(kept) is found
    assert found.log.last_seq == 4


def test_who_joins_a_mirror_that_was_dropped_is_sent_away(one: Process, other: Process) -> None:
    kept = one.live(frames=3)
    found = other.found(kept)
    tick(IDLE_SECONDS + 1, other)
    assert found.log.evicted_seq > 3


def test_a_history_of_many_pieces_is_whole_and_its_end_comes_last(one: Process, other: Process) -> None:
    kept = one.live()
    for _ in range(2 * PAGE + 3):
        count(kept, 1)
        one.streams.writer.flush()
    kept.end(DONE)
    settle(one)
    found = other.found(kept)
    assert whole(found) == expected(kept, 0, 2 * PAGE + 3)
    assert found.outcome == DONE


def test_what_was_published_while_nobody_listened_is_fetched(one: Process, other: Process) -> None:
    kept = one.live(frames=3)
    found = other.found(kept)
    settle(other)
    other.streams.listener.close()
    count(kept, 3)
    settle(one)
    assert found.log.last_seq == 3
    settle(one, other)  # it joins again
    assert whole(found) == expected(kept, 0, 6)


def test_pieces_that_come_twice_or_overlap_are_read_once(one: Process, other: Process) -> None:
    kept = one.live(frames=3)
    found = other.found(kept)
    settle(other)
    name = kept.subject.id
    for said in (b"0 2\n" + expected(kept, 0, 2), b"1 5\n" + expected(kept, 1, 5), b"0 5\n" + expected(kept, 0, 5)):
        other.streams.mirrors.hear(name, said)
    assert whole(found) == expected(kept, 0, 5)


def test_a_reader_who_takes_nothing_holds_its_mirror_back_and_loses_nothing(one: Process, redis: RedisServer) -> None:
    other = Process(redis.url, keeping=replace(KEEPING, stream_bytes_max=2_000))
    kept = one.live(frames=3)
    found, reader = other.found(kept), Reader()
    found.join(reader)
    for _ in range(10):
        count(kept, 6)
        settle(one, other)
    assert found.log.last_seq < 60
    assert found.is_full
    while reader.cursor < 63:
        data, reader.cursor = found.log.read(reader.cursor, 500)
        assert data == expected(kept, reader.cursor - data.count(b"\n\n"), reader.cursor)
        found.taken()
        other.streams.mirrors.catch_up()
    other.close()


def test_frames_that_redis_does_not_keep_any_more_are_told_as_evicted(one: Process, other: Process) -> None:
    kept = one.live()
    for seq in range(1, 31):
        kept.append(b"data: " + b"x" * 10_000 + b"\n\n", seq)
        one.streams.writer.flush()
    found = other.found(kept)
    assert 0 < found.log.evicted_seq <= kept.log.evicted_seq
    assert found.log.last_seq == 30


def test_what_could_not_be_fetched_is_fetched_after_a_short_outage_too(redis: RedisServer, reports: Reports) -> None:
    one, other = Process(redis.url, report=reports), Process(redis.url, report=reports)
    kept = one.live(frames=3)
    found = other.found(kept)
    settle(other)
    other.streams.listener.close()
    kept.end(DONE)
    settle(one)
    redis.client.client_kill_filter(_type="normal", laddr=None, skipme=True)
    other.streams.mirrors.joined(kept.subject.id)
    other.streams.mirrors.catch_up()
    assert found.outcome is None
    other.streams.tend()
    other.streams.mirrors.catch_up()
    assert found.outcome == DONE
    for process in (one, other):
        process.close()
