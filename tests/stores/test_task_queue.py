"""The queue in Redis: whose turn it is, that nothing is taken twice, and what dead workers leave behind."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from redis import Redis

from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.frame_log import FrameLog, Tally
from relay.core.kept import Kept, Subject
from relay.core.keys import KeyPolicy
from relay.core.placed_task import PlacedTask
from relay.stores.redis_link import StoreDown
from relay.stores.stream_record import head_key, producer_key
from relay.stores.streams import Keeping, MemoryStreams
from relay.stores.task_queue import NOBODY, TAKEN, TaskQueue
from tests.stores.redis_server import RedisServer

KEEPER = MemoryStreams(Keeping(60, 65_536, 65_536))


@pytest.fixture
def redis(running_redis: RedisServer) -> Iterator["Redis[bytes]"]:
    client = Redis.from_url(running_redis.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def open_queue(running_redis: RedisServer, redis: "Redis[bytes]") -> Iterator[Callable[[str], TaskQueue]]:
    """open_queue("w1"): as a worker of this name, whose lease holds."""
    opened: list[TaskQueue] = []

    def open_(worker: str) -> TaskQueue:
        redis.set(producer_key(worker), 1)
        opened.append(TaskQueue(running_redis.url, worker, lambda where, error: None))
        return opened[-1]

    yield open_
    for queue in opened:
        queue.close()


@pytest.fixture
def queue(open_queue: Callable[[str], TaskQueue]) -> TaskQueue:
    return open_queue("w1")


@pytest.fixture
def put(redis: "Redis[bytes]", queue: TaskQueue) -> Callable[..., str]:
    """put("key", retry=True): a task of that key, whose stream Redis knows; its stream's name."""
    numbers = count()

    def put(key_id: str, queue_max: int = 1_000, retry: bool = False) -> str:
        stream_id = f"rs_{next(numbers)}"
        redis.hset(head_key(stream_id), mapping={"subject": "{}", "producer": "server"})
        subject = Subject(stream_id, key_id, "/v1/tasks", "m", "f", 0.0)
        placed = PlacedTask(stream_id, Caller(key_id, KeyPolicy(0, 0)), "m", b"{}", "en", {}, "r", None, 0.0, retry)
        queue.put(Kept(subject, 1, KEEPER, FrameLog(Tally())), placed, queue_max)
        return stream_id

    return put


def taken(queue: TaskQueue, passed_over: tuple[str, ...] = ()) -> list[str]:
    order = []
    while (found := queue.take(passed_over)) is not None:
        order.append(f"{found.placed.caller.key_id}:{found.stream_id}")
    return order


def test_each_key_has_its_turn_and_each_task_comes_once(queue: TaskQueue, put: Callable[..., str]) -> None:
    for key_id in ("a", "a", "a", "b", "c"):
        put(key_id)
    assert queue.waiting() == 5
    assert taken(queue) == ["a:rs_0", "b:rs_3", "c:rs_4", "a:rs_1", "a:rs_2"]
    assert queue.waiting() == 0


def test_a_key_that_is_passed_over_keeps_its_tasks(queue: TaskQueue, put: Callable[..., str]) -> None:
    for key_id in ("a", "b", "a"):
        put(key_id)
    assert taken(queue, ("a",)) == ["b:rs_1"]
    assert taken(queue) == ["a:rs_0", "a:rs_2"]


def test_its_stream_is_nobodys_in_particular(queue: TaskQueue, put: Callable[..., str], redis: "Redis[bytes]") -> None:
    stream_id = put("a")
    assert redis.hget(head_key(stream_id), "producer") == NOBODY.encode()
    queue.prove()
    assert 0 < redis.pttl(producer_key(NOBODY)) <= 6_000


def test_so_many_may_wait_and_one_whose_stream_is_not_known_may_not(
    queue: TaskQueue, put: Callable[..., str], redis: "Redis[bytes]"
) -> None:
    put("a", queue_max=1)
    with pytest.raises(RelayError) as full:
        put("a", queue_max=1)
    assert (full.value.code, full.value.retry_after_seconds) == ("queue_full", 5.0)
    subject = Subject("rs_unknown", "a", "/v1/tasks", "m", "f", 0.0)
    placed = PlacedTask("t", Caller("a", KeyPolicy(0, 0)), "m", b"{}", "en", {}, "r", None, 0.0)
    with pytest.raises(RelayError) as unknown:
        queue.put(Kept(subject, 1, KEEPER, FrameLog(Tally())), placed, 10)
    assert unknown.value.code == "store_unavailable"


def test_what_cannot_run_now_waits_again_behind_the_others_of_its_key(
    queue: TaskQueue, open_queue: Callable[[str], TaskQueue], put: Callable[..., str]
) -> None:
    for _ in range(2):
        put("a")
    first = queue.take(())
    assert first is not None
    open_queue("w2").give_back(first.stream_id)
    assert queue.waiting() == 1, "another worker's is not to be given back"
    queue.give_back(first.stream_id)
    assert taken(queue) == ["a:rs_1", "a:rs_0"]


def test_one_that_is_removed_while_it_waits_is_never_taken(queue: TaskQueue, put: Callable[..., str]) -> None:
    put("a")
    put("a")
    removed = queue.remove("rs_0")
    assert removed is not None and removed.id == "rs_0"
    assert queue.remove("rs_0") is None
    assert taken(queue) == ["a:rs_1"]
    assert queue.remove("rs_1") is None, "it was taken"


def test_what_a_dead_worker_had_not_begun_waits_again_and_the_rest_is_lost_once(
    queue: TaskQueue, open_queue: Callable[[str], TaskQueue], put: Callable[..., str], redis: "Redis[bytes]"
) -> None:
    dying = open_queue("dying")
    for retry in (False, False, True):
        put("a", retry=retry)
    put("b")
    first, other, again = dying.take(("b",)), dying.take(("b",)), dying.take(("b",))
    assert first and other and again
    assert dying.begin(other.stream_id) and dying.begin(again.stream_id)
    mine = queue.take(())
    assert mine is not None and queue.begin(mine.stream_id)
    assert queue.sweep() == [], "all live"
    redis.delete(producer_key("dying"))
    assert [lost.stream_id for lost in queue.sweep()] == ["rs_1"]
    assert open_queue("w2").sweep() == [], "nobody else is told"
    assert sorted(taken(queue)) == ["a:rs_0", "a:rs_2"]
    assert not dying.begin(first.stream_id), "it is another's now"


def test_one_that_runs_where_it_was_accepted_is_lost_with_its_process(
    queue: TaskQueue, open_queue: Callable[[str], TaskQueue], put: Callable[..., str], redis: "Redis[bytes]"
) -> None:
    put("a", retry=True)
    found = queue.take(())
    assert found is not None
    server = open_queue("server")
    server.own("rs_own", found.placed)
    redis.delete(producer_key("server"))
    assert [lost.stream_id for lost in queue.sweep()] == ["rs_own"]
    queue.done("rs_0")
    assert redis.hlen(TAKEN) == 0


def test_what_waits_is_known_for_longer_than_a_stream_that_nobody_makes(
    queue: TaskQueue, put: Callable[..., str], redis: "Redis[bytes]"
) -> None:
    stream_id = put("a")
    redis.pexpire(head_key(stream_id), 1_000)
    queue.sweep()
    assert redis.ttl(head_key(stream_id)) > 3_000


def test_a_worker_that_lives_is_known_for_a_while(queue: TaskQueue, redis: "Redis[bytes]") -> None:
    assert not queue.has_workers()
    queue.announce()
    assert queue.has_workers()
    assert 0 < redis.pttl("relay:tasks:workers") <= 6_000


def test_many_workers_at_once_take_each_task_once(
    open_queue: Callable[[str], TaskQueue], put: Callable[..., str]
) -> None:
    for number in range(120):
        put("abcdef"[number % 6])
    queues, found = [open_queue(f"w{number}") for number in range(6)], list[str]()
    workers = [threading.Thread(target=lambda queue=queue: found.extend(taken(queue))) for queue in queues]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert len(found) == 120
    assert max(Counter(found).values()) == 1


def test_while_redis_is_away_it_says_so(queue: TaskQueue, running_redis: RedisServer) -> None:
    running_redis.kill()
    try:
        with pytest.raises(StoreDown):
            queue.waiting()
        with pytest.raises(StoreDown):
            queue.take(())
    finally:
        running_redis.start()
    deadline = time.monotonic() + 5
    while queue.tend() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert queue.waiting() == 0
