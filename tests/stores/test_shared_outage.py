"""The limits of several processes while Redis is silent, slow, stopped or emptied, and when it is back."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.core.errors import RelayError
from relay.stores.redis_link import OPERATION_SECONDS_MAX
from relay.stores.shared import SETTLE_SECONDS, SharedLimits, open_limits
from relay.stores.slots_redis import RENEW_SECONDS
from tests.stores import many_limits, slow_proxy
from tests.stores.conftest import take
from tests.stores.many_limits import PROCESSES, Now, ignore, tended
from tests.stores.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
# What a busy machine may add to a wait.
A_MOMENT_SECONDS = 0.1
# Ten times the real one: so a loop that waits for Redis is told from a machine that is busy.
LONG_BUDGET_SECONDS = 0.5


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def processes(own_redis: RedisServer, now: Now) -> Iterator[list[SharedLimits]]:
    with many_limits.processes(own_redis.url, now) as processes:
        yield processes


def test_a_short_silence_costs_a_moment_of_exactness(processes: list[SharedLimits], own_redis: RedisServer) -> None:
    limits = open_limits(own_redis.url, PROCESSES, "local", ignore)
    own_redis.pause()
    begun = time.monotonic()
    take(limits.slots, slots_max=5)
    assert time.monotonic() - begun < OPERATION_SECONDS_MAX + A_MOMENT_SECONDS
    assert limits.degraded
    assert limits.slots.acquire("a", 5) is None
    own_redis.resume()
    limits.tend()
    assert not limits.degraded
    assert limits.slots.held("a") == 1
    limits.close()


def test_while_redis_is_away_all_shares_together_are_no_more_than_the_limit(
    processes: list[SharedLimits], own_redis: RedisServer
) -> None:
    own_redis.kill()
    assert sum(each.rates.hit("a", 60).allowed for each in processes for _ in range(60)) == 60
    assert sum(each.slots.acquire("a", 8) is not None for each in processes for _ in range(8)) == 8
    assert all(each.degraded for each in processes)


def test_denial_denies_until_redis_is_back(own_redis: RedisServer) -> None:
    limits = open_limits(own_redis.url, PROCESSES, "deny", ignore)
    lease = take(limits.slots, slots_max=5)
    own_redis.pause()
    deeds: list[Callable[[], object]] = [
        lambda: limits.slots.acquire("a", 5),
        lambda: limits.rates.hit("a", 5),
    ]
    for deed in deeds * 2:
        with pytest.raises(RelayError, match="away"):
            deed()
    assert limits.slots.release("a", lease)
    own_redis.resume()
    limits.tend()
    assert limits.slots.held("a") == 0
    assert take(limits.slots, slots_max=5)
    assert limits.rates.hit("a", 5).allowed
    limits.close()


def test_a_restart_of_redis_gives_nobody_a_slot_too_many(
    processes: list[SharedLimits], own_redis: RedisServer, now: Now
) -> None:
    """All five are held; the first process to come back must not take the other processes' slots for free."""
    one, two, three, _ = processes
    for each in (one, one, two, two, three):
        take(each.slots, slots_max=5)
    own_redis.kill()
    for each in processes:
        each.slots.held("a")
    own_redis.start()
    one.tend()
    assert one.degraded
    assert one.slots.acquire("a", 5) is None
    now.seconds += SETTLE_SECONDS / 2
    for each in processes:
        each.tend()
    now.seconds += SETTLE_SECONDS
    assert not any(each.degraded for each in processes)
    assert [each.slots.acquire("a", 5) for each in processes] == [None] * 4
    assert [each.slots.held("a") for each in processes] == [5] * 4


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_and_goes_nothing_is_lost_and_nothing_stays(
    processes: list[SharedLimits], own_redis: RedisServer, now: Now, seed: int
) -> None:
    dice, held = random.Random(seed), list[tuple[SharedLimits, str]]()

    def live_for_a_while(slots_max: int) -> None:
        for _ in range(100):
            each = dice.choice(processes)
            before = len(held)
            if dice.random() < 0.6:
                lease = each.slots.acquire("a", slots_max)
                held.extend([(each, lease)] if lease else [])
                assert lease is None or each.degraded or before < slots_max
            elif held:
                holder, lease = held.pop(dice.randrange(before))
                assert holder.slots.release("a", lease)
                assert not holder.slots.release("a", lease)

    live_for_a_while(5)
    for _ in range(2):
        own_redis.kill()
        live_for_a_while(5)
        own_redis.start()
        for each in dice.sample(processes, PROCESSES):
            each.tend()
            live_for_a_while(5)
        now.seconds += SETTLE_SECONDS + RENEW_SECONDS
        for each in processes:
            each.tend()
        assert processes[0].slots.held("a") == len(held)
        live_for_a_while(5)
    for holder, lease in held:
        holder.slots.release("a", lease)
    for each in processes:
        assert each.slots.held("a") == 0
    assert own_redis.client.keys("relay:slots:*") == []
    assert [take(processes[0].slots, slots_max=5) is not None for _ in range(5)] == [True] * 5
    assert processes[1].slots.acquire("a", 5) is None


@pytest.mark.parametrize("delay_seconds", [0.15, 1, 5])
def test_a_slow_redis_delays_hardly_anybody(own_redis: RedisServer, delay_seconds: float) -> None:
    with slow_proxy.before(own_redis.port) as proxy:
        limits, waits = open_limits(proxy.url, PROCESSES, "local", ignore), list[float]()
        proxy.delay_seconds, end = delay_seconds, time.monotonic() + 2.5
        with tended(limits):
            while time.monotonic() < end:
                begun = time.monotonic()
                lease = take(limits.slots)
                limits.rates.hit("a", 60)
                limits.slots.release("a", lease)
                waits.append(time.monotonic() - begun)
                time.sleep(0.02)
    waits.sort()
    assert waits[-1] < OPERATION_SECONDS_MAX + A_MOMENT_SECONDS
    assert waits[int(len(waits) * 0.9)] < 0.01


def test_the_loop_goes_on_while_redis_stands_still(own_redis: RedisServer) -> None:
    command = [sys.executable, "-m", "tests.stores.limits_under_gevent", own_redis.url, str(LONG_BUDGET_SECONDS)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        own_redis.pause()
        output, _ = process.communicate("go\n", timeout=60)
    finally:
        process.kill()
        process.wait()
    seen = json.loads(output)
    assert seen["admitted"] == 200
    assert seen["degraded"]
    assert LONG_BUDGET_SECONDS <= seen["longest_wait_seconds"] < 2 * LONG_BUDGET_SECONDS
    assert seen["pause_seconds"] < LONG_BUDGET_SECONDS / 2
