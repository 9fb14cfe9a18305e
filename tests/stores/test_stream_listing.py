"""Lists of streams: of one owner, of all; what expired is in neither."""

from collections.abc import Iterator

import pytest

from relay.stores.stream_listing import PAGE
from relay.stores.stream_record import head_key
from tests.stores.redis_server import RedisServer
from tests.stores.stream_processes import Process, new_subject, write


@pytest.fixture
def one(redis: RedisServer) -> Iterator[Process]:
    process = Process(redis.url)
    yield process
    process.close()


def test_streams_of_all_processes_are_listed_however_many_there_are(one: Process, redis: RedisServer) -> None:
    other = Process(redis.url)
    for number in range(PAGE + 10):
        (one, other)[number % 2].streams.claim(new_subject(owner="ab*"[number % 3]), f"c{number}")
    assert len(one.streams.all()) == len(other.streams.all()) == PAGE + 10
    assert {each.owner for each in other.streams.of_owner("*")} == {"*"}
    assert len(other.streams.of_owner("a")) == (PAGE + 10) // 3
    other.close()


def test_what_expired_is_not_listed(one: Process, redis: RedisServer) -> None:
    kept = one.live()
    redis.client.delete(head_key(kept.subject.id))
    assert one.streams.of_owner(kept.subject.owner) == one.streams.all() == []


def test_what_expired_leaves_the_owners_list_with_the_next_stream(one: Process, redis: RedisServer) -> None:
    kept = one.live()
    [name] = redis.client.keys("relay:streams:*")
    redis.client.zadd(name, {kept.subject.id: 1})
    other = one.live()
    write(one)
    assert redis.client.zrange(name, 0, -1) == [other.subject.id]
