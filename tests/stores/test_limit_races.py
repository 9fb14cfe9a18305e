"""Four processes, many greenlets each, and one key: as many pass as may, also when callers are killed, or processes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.stores.redis_link import RedisLink
from relay.stores.slots_redis import LEASE_SECONDS, RedisSlots
from tests.stores.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 4
SECONDS_MAX = 60
BACK_SECONDS_MAX = 15
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(redis: RedisServer) -> Iterator[Start]:
    """Start a contender; it waits for `go`."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.stores.limit_contender", redis.url, *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=SECONDS_MAX)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(processes: list[subprocess.Popen[str]]) -> None:
    """Once all are ready."""
    assert [line_of(process) for process in processes] == ["ready"] * len(processes)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def outcomes(processes: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    return [json.loads(line_of(process)) for process in processes]


def test_of_ten_times_as_many_hits_from_each_process_exactly_the_limit_passes(start: Start) -> None:
    processes = [start("hit", "a", 60) for _ in range(PROCESSES)]
    go(processes)
    seen = outcomes(processes)
    assert sum(each["asked"] for each in seen) == PROCESSES * 600
    assert sum(each["allowed"] for each in seen) == 60


def test_slots_are_never_more_than_there_may_be_and_all_come_back(
    start: Start, redis: RedisServer, link: RedisLink
) -> None:
    processes = [start("slots", "a", 5, 2.5) for _ in range(PROCESSES)]
    go(processes)
    seen = outcomes(processes)
    assert max(each["live_max"] for each in seen) == 5
    assert sum(each["granted"] for each in seen) > 100
    assert sum(each["refused"] for each in seen) > 100
    assert redis.client.get("live") == "0"
    slots = RedisSlots(link)
    assert slots.held("a") == 0
    assert [slots.acquire("a", 5) is not None for _ in range(6)] == [True] * 5 + [False]


def test_the_slots_of_a_killed_process_are_back_within_15_seconds_and_not_at_once(
    start: Start, redis: RedisServer, link: RedisLink
) -> None:
    slots, dying = RedisSlots(link), [start("hold", "a", 3) for _ in range(3)]
    assert [line_of(process) for process in dying] == ["holding"] * 3
    assert slots.acquire("a", 3) is None
    killed_at = time.monotonic()
    for process in dying:
        process.kill()
        process.wait(SECONDS_MAX)
    redis.client.set("live", 0)
    others = [start("slots", "a", 3, BACK_SECONDS_MAX - 3) for _ in range(2)]
    go(others)
    while int(redis.client.get("live") or 0) < 1:
        assert time.monotonic() - killed_at < BACK_SECONDS_MAX
        time.sleep(0.01)
    assert time.monotonic() - killed_at > LEASE_SECONDS / 2
    assert max(each["live_max"] for each in outcomes(others)) == 3
    assert slots.held("a") == 0


@pytest.mark.soak
@pytest.mark.parametrize("run", range(20))
def test_each_of_twenty_runs_is_exact(run: int, start: Start, redis: RedisServer, link: RedisLink) -> None:
    test_of_ten_times_as_many_hits_from_each_process_exactly_the_limit_passes(start)
    test_slots_are_never_more_than_there_may_be_and_all_come_back(start, redis, link)
    redis.client.flushall()
    test_the_slots_of_a_killed_process_are_back_within_15_seconds_and_not_at_once(start, redis, link)
