"""Streams while Redis is away, and right after: what can be made is made, what cannot be known is refused."""

from pathlib import Path

import pytest

from relay.core.errors import RelayError
from relay.stores.streams_redis import ASK_SECONDS_MAX, SETTLE_SECONDS, open_streams
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


def test_what_is_forgotten_while_redis_is_away_is_removed_when_it_is_back(redis: RedisServer, reports: Reports) -> None:
    one = Process(redis.url, report=reports)
    kept = one.live("c")
    redis.client.client_kill_filter(_type="normal", skipme=True)
    one.streams.remove(kept)
    one.streams.writer.flush()
    one.streams.tend()
    write(one)
    assert redis.client.keys("relay:stream*") == redis.client.keys("relay:claim*") == []
    one.close()


def test_without_redis_a_claim_is_refused_and_nothing_of_it_stays(own_redis: RedisServer, reports: Reports) -> None:
    process = Process(own_redis.url, report=reports)
    own_redis.kill()
    for _ in range(2):
        with pytest.raises(RelayError) as refused:
            process.streams.claim(new_subject(), "c")
        assert refused.value.code == "store_unavailable"
    assert process.streams._mine.all() == []
    for ask in (process.streams.find, process.streams.claimed, process.streams.of_owner):
        with pytest.raises(RelayError) as refused:
            ask("x")
        assert refused.value.code == "store_unavailable"
    process.close()


def test_without_redis_a_stream_without_a_claim_is_made_and_read_here(own_redis: RedisServer, reports: Reports) -> None:
    process = Process(own_redis.url, report=reports)
    own_redis.kill()
    process.streams.writer.flush()
    kept, _ = process.streams.claim(new_subject(), None)
    kept.open(STREAM)
    count(kept, 3)
    process.streams.writer.flush()
    assert process.streams.find(kept.subject.id) is kept
    assert process.streams.followed_elsewhere([kept]) == set()
    kept.end(DONE)
    process.close()


def test_a_claim_whose_answer_got_lost_is_given_up(own_redis: RedisServer, reports: Reports) -> None:
    one, other = Process(own_redis.url, report=reports), Process(own_redis.url, report=reports)
    own_redis.pause()
    with pytest.raises(RelayError):
        one.streams.claim(new_subject(), "c")
    own_redis.resume()
    one.streams.tend()
    settle(one)
    assert ASK_SECONDS_MAX >= 1
    assert other.streams.claim(new_subject(), "c")[1]
    for process in (one, other):
        process.close()


def test_right_after_an_outage_nobody_says_that_a_stream_is_unknown(redis: RedisServer, reports: Reports) -> None:
    one = Process(redis.url, report=reports)
    assert one.streams.find(new_subject().id) is None
    redis.client.client_kill_filter(_type="normal", skipme=True)
    for _ in range(2):  # it is noticed, then it is over
        with pytest.raises(RelayError) as refused:
            one.streams.find(new_subject().id)
        assert refused.value.code == "store_unavailable"
        one.streams.tend()
    tick(SETTLE_SECONDS, one)
    assert one.streams.find(new_subject().id) is None
    one.close()


def test_connections_that_broke_while_they_were_idle_are_mended_before_a_caller_comes(
    redis: RedisServer, reports: Reports
) -> None:
    one = Process(redis.url, report=reports)
    redis.client.client_kill_filter(_type="normal", skipme=True)
    one.streams.tend()
    assert one.streams.claim(new_subject(), "c")[1]
    one.close()


def test_a_redis_that_is_absent_at_the_start_is_found_later(tmp_path: Path, own_redis: RedisServer) -> None:
    own_redis.kill()
    process = Process.__new__(Process)
    told: list[str] = []
    streams = open_streams(own_redis.url, KEEPING, lambda where, error: told.append(where))
    process.streams = streams  # type: ignore[assignment]
    kept, _ = streams.claim(new_subject(), None)
    kept.open(STREAM)
    count(kept, 2)
    own_redis.start()
    streams.tend()
    settle(process)
    other = Process(own_redis.url)
    assert whole(other.found(kept)) == expected(kept, 0, 2)
    assert told == ["redis"] * 2
    for each in (process, other):
        each.close()
