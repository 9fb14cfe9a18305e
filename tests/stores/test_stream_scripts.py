"""What Redis itself decides about the end of a stream whose process is dead: once, and only where it is dead."""

from collections.abc import Iterator

import pytest

from relay.stores.redis_wire import script
from relay.stores.stream_mirror import Mirror
from relay.stores.stream_record import asking, producer_key, read_record
from tests.stores.redis_server import RedisServer
from tests.stores.stream_processes import DONE, JSON, STREAM, Process, count, new_subject, settle

END_ORPHAN = script("end_orphan")


@pytest.fixture
def one(redis: RedisServer) -> Iterator[Process]:
    process = Process(redis.url)
    yield process
    process.close()


def bury(one: Process, mirror: Mirror) -> int:
    [done] = one.streams._link.ask(mirror.burying(END_ORPHAN, 1_000))
    return int(done)


def mirror_of(redis: RedisServer, one: Process, *, is_stream: bool) -> tuple[Process, Mirror]:
    """How another process sees a stream of three frames."""
    kept, _ = one.streams.claim(new_subject(), None)
    kept.open(STREAM if is_stream else JSON)
    count(kept, 3)
    settle(one)
    other = Process(redis.url)
    mirror = other.streams.mirrors.of(other.found(kept))
    assert mirror is not None
    return other, mirror


@pytest.mark.parametrize("is_stream", [True, False])
def test_it_ends_once(one: Process, redis: RedisServer, is_stream: bool) -> None:
    other, mirror = mirror_of(redis, one, is_stream=is_stream)
    redis.client.delete(producer_key(one.streams.producer))
    assert [bury(one, mirror), bury(one, mirror)] == [1, 0]
    [reply] = one.streams._link.ask(asking(mirror.kept.subject.id))
    record = read_record(reply)
    assert record is not None
    assert record.last_seq == (4 if is_stream else 3)
    other.close()


def test_a_process_that_came_back_in_this_moment_keeps_its_stream(one: Process, redis: RedisServer) -> None:
    other, mirror = mirror_of(redis, one, is_stream=True)
    assert bury(one, mirror) == 0
    other.close()


def test_a_stream_that_went_on_or_ended_in_this_moment_is_left_alone(one: Process, redis: RedisServer) -> None:
    other, mirror = mirror_of(redis, one, is_stream=True)
    kept = one.streams.find(mirror.kept.subject.id)
    assert kept is not None
    redis.client.delete(producer_key(one.streams.producer))
    count(kept, 1)
    settle(one)
    assert bury(one, mirror) == 0
    kept.end(DONE)
    settle(one)
    assert bury(one, mirror) == 0
    other.close()
