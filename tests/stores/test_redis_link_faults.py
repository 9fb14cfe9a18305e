"""The link to a Redis that is restarted, absent, slow, half-open or unwilling."""

import math
import time
from collections.abc import Callable, Iterator

import pytest

from relay.stores.redis_link import OPERATION_SECONDS_MAX, RedisLink, StoreDown
from tests.stores import slow_proxy
from tests.stores.conftest import ECHO, Reports, failing_seconds, no_failure
from tests.stores.redis_server import RedisServer
from tests.stores.slow_proxy import SlowProxy

# What a busy machine may add to a wait.
A_MOMENT_SECONDS = 0.1


@pytest.fixture
def proxy(redis: RedisServer) -> Iterator[SlowProxy]:
    with slow_proxy.before(redis.port) as proxy:
        yield proxy


def test_a_redis_that_was_restarted_may_have_lost_everything(
    own_redis: RedisServer, up: Callable[[str], RedisLink], reports: Reports
) -> None:
    link = up(own_redis.url)
    own_redis.kill()
    assert failing_seconds(link) < A_MOMENT_SECONDS
    for _ in range(3):
        assert link.mend() is None
    own_redis.start()
    assert link.mend() == math.inf
    assert link.ask(ECHO) == [b"x"]
    assert reports == ["ConnectionError"]


def test_it_is_told_again_when_it_goes_down_again(
    own_redis: RedisServer, up: Callable[[str], RedisLink], reports: Reports
) -> None:
    link = up(own_redis.url)
    for _ in range(2):
        own_redis.kill()
        failing_seconds(link)
        failing_seconds(link)
        own_redis.start()
        link.mend()
    assert len(reports) == 2


def test_without_a_redis_at_the_start_it_is_down_and_told_once(own_redis: RedisServer, reports: Reports) -> None:
    own_redis.kill()
    link = RedisLink(own_redis.url, reports)
    assert [link.mend(), link.mend()] == [None, None]
    assert reports == ["ConnectionError"]
    own_redis.start()
    assert link.mend() == math.inf
    link.close()


def test_a_host_without_a_name_is_down_like_any_other(reports: Reports) -> None:
    link = RedisLink("redis://nowhere.invalid", reports)
    assert link.mend() is None
    assert reports == ["ConnectionError"]


@pytest.mark.parametrize("delay_seconds", [0.15, 1, 5, math.inf])
def test_a_slow_redis_is_as_good_as_none(
    proxy: SlowProxy, up: Callable[[str], RedisLink], delay_seconds: float
) -> None:
    link = up(proxy.url)
    proxy.delay_seconds = delay_seconds
    assert failing_seconds(link) < OPERATION_SECONDS_MAX + A_MOMENT_SECONDS
    begun = time.monotonic()
    assert link.mend() is None
    assert time.monotonic() - begun < OPERATION_SECONDS_MAX + A_MOMENT_SECONDS
    assert failing_seconds(link) < OPERATION_SECONDS_MAX / 2
    proxy.delay_seconds = 0
    assert link.mend() is not None
    assert link.ask(ECHO) == [b"x"]


def test_a_redis_that_is_slow_within_the_budget_is_asked_on(proxy: SlowProxy, up: Callable[[str], RedisLink]) -> None:
    link = up(proxy.url)
    proxy.delay_seconds = OPERATION_SECONDS_MAX / 5
    for _ in range(10):
        assert link.ask(ECHO) == [b"x"]


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(
    proxy: SlowProxy, up: Callable[[str], RedisLink]
) -> None:
    link = up(proxy.url)
    proxy.delay_seconds = OPERATION_SECONDS_MAX * 2
    with pytest.raises(StoreDown):
        link.ask(("ECHO", "late"))
    proxy.delay_seconds = 0
    link.mend()
    time.sleep(OPERATION_SECONDS_MAX * 2)
    assert link.ask(("ECHO", "next")) == [b"next"]


@pytest.mark.parametrize(
    ("unwilling", "willing"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ],
    ids=["memory full", "a replica", "too few replicas"],
)
def test_a_redis_that_takes_no_writes_is_down(
    own_redis: RedisServer, up: Callable[[str], RedisLink], unwilling: tuple[str, ...], willing: tuple[str, ...]
) -> None:
    link = up(own_redis.url)
    own_redis.client.execute_command(*unwilling)
    with pytest.raises(StoreDown) as caught:
        link.ask(("SET", "a", 1))
    assert caught.value.asked
    assert link.down
    assert link.mend() is None
    own_redis.client.execute_command(*willing)
    assert link.mend() is not None
    assert link.ask(ECHO) == [b"x"]


def test_a_redis_that_wants_a_password_gets_it(own_redis: RedisServer, reports: Reports) -> None:
    own_redis.client.config_set("requirepass", "canary-redis-password")
    nobody = RedisLink(own_redis.url, reports)
    assert nobody.mend() is None
    wrong = RedisLink(own_redis.url.replace("//", "//:wrong@"), reports)
    assert wrong.mend() is None
    right = RedisLink(own_redis.url.replace("//", "//:canary-redis-password@"), no_failure)
    assert right.mend() is not None
    right.close()
    assert reports == ["AuthenticationError", "AuthenticationError"]
