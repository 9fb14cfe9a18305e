"""The limits of a process: memory or Redis, from the start, tended, and reachable or not."""

import time
from collections.abc import Iterator

import pytest

from relay.core.errors import RelayError
from relay.stores.redis_link import OPERATION_SECONDS_MAX
from relay.stores.redis_wire import CONNECT_SECONDS_MAX
from relay.stores.shared import (
    SETTLE_SECONDS,
    SILENCE_SECONDS_MAX,
    TEND_SECONDS,
    MemoryLimits,
    SharedLimits,
    open_limits,
    reachable,
)
from relay.stores.slots_redis import LEASE_SECONDS, RENEW_SECONDS
from tests.live.bench.waiting import until
from tests.stores import many_limits
from tests.stores.conftest import no_failure, take
from tests.stores.many_limits import PROCESSES, Now, ignore, tended
from tests.stores.redis_server import RedisServer

BACK_SECONDS_MAX = 5


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def processes(own_redis: RedisServer, now: Now) -> Iterator[list[SharedLimits]]:
    with many_limits.processes(own_redis.url, now) as processes:
        yield processes


def test_without_a_url_it_is_memory_and_needs_nothing() -> None:
    limits = open_limits("", 1, "local", no_failure)
    limits.tend()
    limits.fall_back("deny")
    assert isinstance(limits, MemoryLimits)
    assert not limits.degraded
    assert limits.slots.release("a", take(limits.slots, slots_max=1))
    assert limits.rates.hit("a", 1).allowed
    limits.close()


def test_with_a_url_it_is_exact_from_the_first_request(redis: RedisServer) -> None:
    one, two = [open_limits(redis.url, PROCESSES, "local", no_failure) for _ in range(2)]
    assert not one.degraded
    assert take(one.slots, slots_max=1)
    assert two.slots.acquire("a", 1) is None
    one.close()
    two.close()


def test_without_redis_at_the_start_it_begins_degraded_and_recovers(own_redis: RedisServer) -> None:
    own_redis.kill()
    reports: list[str] = []
    begun = time.monotonic()
    limits = open_limits(own_redis.url, PROCESSES, "local", lambda where, error: reports.append(where))
    assert time.monotonic() - begun < CONNECT_SECONDS_MAX
    assert limits.degraded
    assert sum(limits.rates.hit("a", 60).allowed for _ in range(60)) == 15
    own_redis.start()
    with tended(limits):
        until(lambda: not limits.degraded, BACK_SECONDS_MAX)
    assert reports == ["redis"]


def test_the_times_fit_together() -> None:
    slowest_notice = CONNECT_SECONDS_MAX + TEND_SECONDS + OPERATION_SECONDS_MAX
    assert slowest_notice < SETTLE_SECONDS
    assert slowest_notice + SETTLE_SECONDS < BACK_SECONDS_MAX
    assert SILENCE_SECONDS_MAX + slowest_notice < LEASE_SECONDS - RENEW_SECONDS


def test_a_place_where_redis_answers_is_reachable(own_redis: RedisServer) -> None:
    assert reachable(own_redis.url)
    own_redis.client.config_set("min-replicas-to-write", 1)
    assert not reachable(own_redis.url)
    own_redis.kill()
    assert not reachable(own_redis.url)


def test_leases_are_renewed_when_it_is_time_and_not_at_every_look(
    processes: list[SharedLimits], own_redis: RedisServer, now: Now
) -> None:
    one = processes[0]
    take(one.slots)

    def expiry() -> float:
        return float(own_redis.client.zrange("relay:slots:a", 0, 0, withscores=True)[0][1])

    one.tend()
    first = expiry()
    time.sleep(0.02)
    for _ in range(2):
        now.seconds += RENEW_SECONDS / 2 - 0.01
        one.tend()
        assert expiry() == first
    now.seconds += 0.02
    one.tend()
    assert expiry() > first


def test_what_redis_forgot_in_its_sleep_is_known_again_after_the_next_renewal(
    processes: list[SharedLimits], own_redis: RedisServer, now: Now
) -> None:
    take(processes[0].slots, slots_max=1)
    own_redis.client.flushall()
    now.seconds += RENEW_SECONDS
    processes[0].tend()
    assert processes[1].slots.acquire("a", 1) is None


def test_what_falls_back_can_be_changed_while_it_runs(own_redis: RedisServer) -> None:
    limits = open_limits(own_redis.url, PROCESSES, "local", ignore)
    own_redis.kill()
    lease = take(limits.slots, slots_max=5)
    limits.fall_back("deny")
    with pytest.raises(RelayError):
        limits.rates.hit("a", 5)
    assert limits.slots.release("a", lease)
    limits.fall_back("local")
    assert limits.rates.hit("a", 5).allowed
    limits.close()
