"""The writer: what Redis has of the streams of a process, also after Redis was away, lost all, or was slow."""

from collections.abc import Iterator
from dataclasses import replace
from threading import Thread

import pytest

from relay.core.kept import Kept
from relay.stores.stream_record import asking, claim_key, head_key, log_key, owner_key, read_piece, read_record
from relay.stores.stream_writer import COPIES_MAX, LIVE_SECONDS, PROLONG_SECONDS
from tests.stores.conftest import Reports
from tests.stores.redis_server import RedisServer
from tests.stores.stream_processes import (
    DONE,
    KEEPING,
    STREAM,
    Process,
    count,
    expected,
    new_subject,
    settle,
    tick,
    whole,
    write,
)

LIVE_MS, KEEP_MS = (KEEPING.keep_seconds + LIVE_SECONDS) * 1000, KEEPING.keep_seconds * 1000


@pytest.fixture
def one(redis: RedisServer) -> Iterator[Process]:
    process = Process(redis.url)
    yield process
    process.close()


def pieces(redis: RedisServer, kept: Kept) -> list[tuple[int, int, bytes]]:
    """What Redis keeps of it."""
    return [read_piece(fields["frames"].encode()) for _, fields in redis.client.xrange(log_key(kept.subject.id))]


def lifetimes(redis: RedisServer, kept: Kept) -> list[int]:
    """Of its hash, its log, its owner's list and its claim, in milliseconds."""
    subject = kept.subject
    names = (head_key(subject.id), log_key(subject.id), owner_key(subject.owner), claim_key("c"))
    return [redis.client.pttl(name) for name in names]


def test_frames_that_gathered_are_one_piece_whose_name_is_its_last_number(one: Process, redis: RedisServer) -> None:
    kept = one.live(frames=5)
    count(kept, 3)
    write(one)
    assert pieces(redis, kept) == [(0, 5, expected(kept, 0, 5)), (5, 8, expected(kept, 5, 8))]
    assert [name for name, _ in redis.client.xrange(log_key(kept.subject.id))] == ["5-0", "8-0"]
    assert redis.client.hget(head_key(kept.subject.id), "last_seq") == "8"


def test_a_stream_with_much_to_tell_is_told_in_pieces_and_its_end_behind_them(one: Process, redis: RedisServer) -> None:
    one.streams.keeping = replace(KEEPING, stream_bytes_max=1_000_000)
    kept, _ = one.streams.claim(new_subject(), None)
    kept.open(STREAM)
    for seq in range(1, 31):
        kept.append(b"data: " + b"x" * 10_000 + b"\n\n", seq)
    kept.end(DONE)
    one.streams.writer.flush()
    assert redis.client.hget(head_key(kept.subject.id), "outcome") is None
    write(one)
    assert redis.client.hget(head_key(kept.subject.id), "outcome") is not None
    assert max(len(data) for _, _, data in pieces(redis, kept)) <= 65_536
    assert b"".join(data for _, _, data in pieces(redis, kept)) == whole(kept)


def test_more_streams_than_one_turn_takes_are_all_told(one: Process, redis: RedisServer) -> None:
    all_kept = [one.streams.claim(new_subject(), f"c{number}")[0] for number in range(COPIES_MAX + 5)]
    for kept in all_kept:
        kept.open(STREAM)
        count(kept, 1)
    write(one)
    assert {redis.client.hget(head_key(kept.subject.id), "last_seq") for kept in all_kept} == {"1"}


def test_redis_keeps_no_more_of_a_stream_than_memory(one: Process, redis: RedisServer) -> None:
    kept = one.live()
    for seq in range(1, 31):
        kept.append(b"data: " + b"x" * 10_000 + b"\n\n", seq)
        write(one)
    assert kept.log.evicted_seq > 0
    assert [last for _, last, _ in pieces(redis, kept)] == list(range(kept.log.evicted_seq + 1, 31))


def test_everything_expires_later_while_it_is_made_than_when_it_has_ended(one: Process, redis: RedisServer) -> None:
    kept = one.live("c", frames=1)
    assert all(KEEP_MS < left <= LIVE_MS for left in lifetimes(redis, kept))
    kept.end(DONE)
    settle(one)
    *of_the_stream, of_the_owner, of_the_claim = lifetimes(redis, kept)
    assert all(0 < left <= KEEP_MS for left in (*of_the_stream, of_the_claim))
    assert of_the_owner > 0


def test_a_live_stream_is_prolonged_before_it_expires(one: Process, redis: RedisServer) -> None:
    kept = one.live("c", frames=1)
    subject = kept.subject
    for name in (head_key(subject.id), log_key(subject.id), owner_key(subject.owner), claim_key("c")):
        redis.client.pexpire(name, 5_000)
    tick(PROLONG_SECONDS + 1, one)
    assert all(left > KEEP_MS for left in lifetimes(redis, kept))
    assert redis.client.zscore(owner_key(subject.owner), subject.id) > 0


def test_what_has_ended_is_not_prolonged(one: Process, redis: RedisServer) -> None:
    kept = one.live("c", frames=1)
    kept.end(DONE)
    settle(one)
    redis.client.pexpire(head_key(kept.subject.id), 5_000)
    tick(PROLONG_SECONDS + 1, one)
    assert redis.client.pttl(head_key(kept.subject.id)) <= 5_000


def test_a_redis_that_lost_all_is_told_all_again(own_redis: RedisServer, reports: Reports) -> None:
    one = Process(own_redis.url, report=reports)
    live, ended = one.live("c", frames=5), one.live(frames=3)
    ended.end(DONE)
    settle(one)
    own_redis.kill()
    count(live, 5)
    one.streams.writer.flush()
    own_redis.start()
    one.streams.tend()
    count(live, 1)
    write(one)
    other = Process(own_redis.url)
    assert whole(other.found(live)) == expected(live, 0, 11)
    assert (whole(other.found(ended)), other.found(ended).outcome) == (expected(ended, 0, 3), DONE)
    assert other.streams.claim(new_subject(), "c")[1] is False
    assert set(reports) == {"ConnectionError"}
    for process in (one, other):
        process.close()


def test_a_connection_that_broke_while_it_was_idle_is_mended_before_it_is_needed(
    redis: RedisServer, reports: Reports
) -> None:
    one = Process(redis.url, report=reports)
    redis.client.client_kill_filter(_type="normal", skipme=True)
    one.streams.tend()
    kept = one.live(frames=1)
    assert pieces(redis, kept) == [(0, 1, expected(kept, 0, 1))]
    one.close()


def test_a_claim_that_another_stream_took_meanwhile_is_not_taken_back(one: Process, redis: RedisServer) -> None:
    kept = one.live("c", frames=2)
    redis.client.flushall()
    other = Process(redis.url)
    taken = other.live("c")
    count(kept, 1)
    settle(one, other)
    assert whole(other.found(kept)) == expected(kept, 0, 3)
    assert other.streams.claimed("c") is taken
    other.close()


def test_what_redis_took_without_our_hearing_of_it_is_not_told_twice(
    own_redis: RedisServer, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.stores.streams_redis.WRITE_SECONDS_MAX", 0.2)
    one = Process(own_redis.url, report=reports)
    kept = one.live(frames=2)
    own_redis.pause()
    count(kept, 2)
    one.streams.writer.flush()
    assert one.streams.writer.is_down
    count(kept, 2)
    own_redis.resume()
    one.streams.tend()
    write(one)
    found = [data for _, _, data in pieces(own_redis, kept)]
    assert b"".join(found) == expected(kept, 0, 6)
    one.close()


def test_what_memory_dropped_while_redis_was_away_is_told_as_a_gap(own_redis: RedisServer, reports: Reports) -> None:
    one = Process(own_redis.url, report=reports)
    kept = one.live(frames=2)
    own_redis.kill()
    for seq in range(3, 33):
        kept.append(b"data: " + b"x" * 10_000 + b"\n\n", seq)
    one.streams.writer.flush()
    own_redis.start()
    one.streams.tend()
    write(one)
    other = Process(own_redis.url)
    assert other.found(kept).log.evicted_seq == kept.log.evicted_seq > 2
    assert whole(other.found(kept), kept.log.evicted_seq) == whole(kept, kept.log.evicted_seq)
    for process in (one, other):
        process.close()


def test_it_writes_by_itself_soon_after_there_is_something_to_write(one: Process, redis: RedisServer) -> None:
    writing = Thread(target=one.streams.writer.run, daemon=True)
    writing.start()
    kept, _ = one.streams.claim(new_subject(), None)
    assert kept.keeper.entered.wait(5)
    kept.open(STREAM)
    count(kept, 3)
    kept.end(DONE)
    for _ in range(1_000):
        [reply] = one.streams._link.ask(asking(kept.subject.id))
        record = read_record(reply)
        if record is not None and record.outcome is not None:
            break
    assert record is not None
    assert (record.last_seq, record.outcome) == (3, DONE)
    one.streams.writer.close()
    writing.join(5)
    assert not writing.is_alive()


def test_a_new_stream_does_not_wait_for_others_to_gather(one: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.stores.stream_writer.GATHER_SECONDS", 60)
    writing = Thread(target=one.streams.writer.run, daemon=True)
    writing.start()
    for _ in range(3):
        kept, _ = one.streams.claim(new_subject(), None)
        assert kept.keeper.entered.wait(5)
    one.streams.writer.close()
    writing.join(5)
    assert not writing.is_alive()


def test_what_is_left_is_written_at_the_end(redis: RedisServer) -> None:
    one = Process(redis.url)
    kept = one.live()
    count(kept, 3)
    kept.end(DONE)
    one.close()
    other = Process(redis.url)
    assert (other.found(kept).outcome, other.found(kept).log.last_seq) == (DONE, 3)
    other.close()
