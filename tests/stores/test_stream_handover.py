"""A stream that another process goes on with: all of it is there, nothing is told twice."""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from relay.core.kept import Head, Kept, Outcome, Subject
from relay.stores.stream_record import head_key, log_key
from relay.stores.streams import Keeping
from relay.stores.streams_redis import RedisStreams
from tests.stores.redis_server import RedisServer

KEEPING = Keeping(60, 4_000_000, 40_000_000)
HEAD = Head(200, (("Content-Type", "text/event-stream"),), is_stream=True)


@pytest.fixture
def process(running_redis: RedisServer) -> Iterator[Callable[[], RedisStreams]]:
    """process(): one more on the same Redis."""
    opened: list[RedisStreams] = []

    def open_() -> RedisStreams:
        opened.append(RedisStreams(running_redis.url, KEEPING, lambda where, error: None))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


def begun(store: RedisStreams, name: str, frames: int = 3) -> Kept:
    kept, is_new = store.claim(Subject(f"rs_{name}", "key_1", "/v1/tasks", "m", "f", 0.0), f"claim {name}")
    assert is_new
    kept.open(HEAD)
    for number in range(1, frames + 1):
        kept.append(b"id: %d\ndata: x\n\n" % number, number)
    return kept


def test_the_next_one_goes_on_behind_the_last_frame(process: Callable[[], RedisStreams]) -> None:
    server, worker, reader = process(), process(), process()
    kept = begun(server, "one")
    assert server.handover.write(kept)
    server.handover.release(kept)
    taken = worker.handover.take_over("rs_one", "claim one")
    assert taken is not None
    assert (taken.subject, taken.head, taken.log.last_seq, taken.status) == (kept.subject, HEAD, 3, "live")
    taken.append(b"id: 4\ndata: x\n\n", 4)
    taken.end(Outcome("done", whole=True))
    worker.writer.flush()
    found = reader.claimed("claim one")
    assert found is not None
    assert found.log.read(0, 65_536) == (b"".join(b"id: %d\ndata: x\n\n" % number for number in range(1, 5)), 4)
    assert found.status == "done"


def test_who_goes_on_does_not_enter_it_anew(process: Callable[[], RedisStreams], running_redis: RedisServer) -> None:
    server, worker = process(), process()
    kept = begun(server, "five")
    assert server.handover.write(kept)
    server.handover.release(kept)
    with Redis.from_url(running_redis.url, decode_responses=True) as client:
        client.hset(head_key("rs_five"), "producer", "nobody")
        taken = worker.handover.take_over("rs_five", "claim five")
        assert taken is not None
        taken.append(b"id: 4\ndata: x\n\n", 4)
        worker.writer.flush()
        assert client.hget(head_key("rs_five"), "producer") == "nobody"
        assert [entry for entry, _ in client.xrange(log_key("rs_five"))][-1] == "4-0"


def test_who_gave_it_away_tells_no_more_of_it_and_finds_it_as_any_other(process: Callable[[], RedisStreams]) -> None:
    server, reader = process(), process()
    kept = begun(server, "two", frames=1)
    assert server.handover.write(kept)
    server.handover.release(kept)
    assert (kept.log.bytes, server.tally.bytes) == (0, 0)
    kept.append(b"id: 2\ndata: late\n\n", 2)
    server.writer.flush()
    found, elsewhere = server.find("rs_two"), reader.find("rs_two")
    assert found is not None and found is not kept and elsewhere is not None
    assert (found.is_ours, elsewhere.log.last_seq) == (False, 1)


def test_what_has_ended_or_was_never_known_is_not_taken_over(process: Callable[[], RedisStreams]) -> None:
    server, worker = process(), process()
    kept = begun(server, "three")
    kept.end(Outcome("done", whole=True))
    assert server.handover.write(kept)
    assert worker.handover.take_over("rs_three", "claim three") is None
    assert worker.handover.take_over("rs_never", "claim never") is None


def test_what_redis_does_not_have_is_not_written(
    process: Callable[[], RedisStreams], running_redis: RedisServer
) -> None:
    server = process()
    kept = begun(server, "four")
    assert server.handover.write(kept)
    running_redis.kill()
    kept.append(b"id: 4\ndata: x\n\n", 4)
    assert not server.handover.write(kept)
    running_redis.start()
