"""Where tasks stand in Redis: known to all processes, and told to whoever listens, the hash first."""

import json
from collections.abc import Iterator

import pytest
from redis import Redis

from relay.stores.task_board import Standing
from relay.stores.task_board_redis import LIVE_SECONDS, RedisBoard, channel, status_key
from tests.stores.redis_server import RedisServer

KEEP_SECONDS = 60.0


@pytest.fixture
def redis(running_redis: RedisServer) -> Iterator["Redis[bytes]"]:
    client = Redis.from_url(running_redis.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def board(running_redis: RedisServer, redis: "Redis[bytes]") -> Iterator[RedisBoard]:
    board = RedisBoard(running_redis.url, KEEP_SECONDS, lambda where, error: None, lambda: 1.5)
    yield board
    board.close()


def test_each_step_is_in_the_hash_and_expires_with_the_task(board: RedisBoard, redis: "Redis[bytes]") -> None:
    board.tell("t", "processing", 25, {})
    board.flush()
    assert redis.hgetall(status_key("t")) == {
        b"stage": b"processing",
        b"progress": b"25",
        b"updated_at": b"1970-01-01T00:00:01.500Z",
    }
    assert status_key("t") == "task:t:status"
    assert KEEP_SECONDS < redis.ttl(status_key("t")) <= KEEP_SECONDS + LIVE_SECONDS
    board.tell("t", "complete", 100, {})
    board.flush()
    assert 0 < redis.ttl(status_key("t")) <= KEEP_SECONDS


def test_each_step_is_published_in_order_after_it_is_in_the_hash(board: RedisBoard, redis: "Redis[bytes]") -> None:
    listener = redis.pubsub()
    listener.subscribe(channel("t"))
    assert channel("t") == "task:t:progress"
    for number in range(200):
        board.tell("t", "receiving", number, {"chunk": "ü", "progress": number})
        if not number % 50:
            board.flush()
    board.flush()
    said = []
    while (message := listener.get_message(timeout=1)) and len(said) < 200:
        if message["type"] == "message":
            said.append(json.loads(message["data"]))
            assert int(redis.hget(status_key("t"), "progress") or 0) >= said[-1]["progress"]
    listener.close()
    assert [step["progress"] for step in said] == list(range(200))
    assert said[0] == {
        "chunk": "ü",
        "task_id": "t",
        "stage": "receiving",
        "progress": 0,
        "timestamp": "1970-01-01T00:00:01.500Z",
    }


def test_another_process_knows_where_it_stands(board: RedisBoard, running_redis: RedisServer) -> None:
    board.tell("t", "receiving", 60, {})
    board.flush()
    other = RedisBoard(running_redis.url, KEEP_SECONDS, lambda where, error: None, lambda: 0.0)
    assert other.look("t") == Standing("receiving", 60, 1.5)
    assert other.look("other") is None
    other.close()
    assert other.look("t") is None, "Redis is away"


def test_what_is_told_while_redis_is_away_is_told_when_it_is_back(running_redis: RedisServer) -> None:
    reported: list[str] = []
    board = RedisBoard(running_redis.url, KEEP_SECONDS, lambda where, error: reported.append(where), lambda: 1.5)
    running_redis.kill()
    board.tell("t", "processing", 25, {})
    board.flush()
    board.tell("t", "receiving", 50, {})
    board.flush()
    running_redis.start()
    board.tend()
    board.flush()
    assert board.look("t") == Standing("receiving", 50, 1.5)
    assert reported == ["redis"]
    board.close()
