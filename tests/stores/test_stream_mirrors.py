"""Mirrors: fed from Redis while somebody needs them, and ended when the process that feeds them is gone."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from relay.stores.stream_copy import LEASE_SECONDS
from relay.stores.stream_mirrors import IDLE_SECONDS, PAGE
from relay.stores.stream_record import head_key, log_key, producer_key
from tests.stores.conftest import Reports
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
