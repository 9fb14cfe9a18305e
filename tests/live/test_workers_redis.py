"""F5, F6: Redis away, back, absent and slow, under four workers that go on answering."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.many_callers import BODY, CHAT, WHOLE, asks, in_parallel
from tests.live.bench.scripts import DONE
from tests.live.bench.steady_load import Answered, SteadyLoad, steady_load
from tests.live.bench.waiting import until
from tests.live.bench.workers import one_caller_each
from tests.stores import slow_proxy
from tests.stores.redis_server import RedisServer

pytestmark = pytest.mark.alone

NOTICED_SECONDS_MAX = 3.0
EXACT_SECONDS_MAX = 5.0
OUTAGE = [3.0, pytest.param(10.0, marks=pytest.mark.soak)]
SLOW = [1.0, pytest.param(15.0, marks=pytest.mark.soak)]
DELAYS_SECONDS = (0.05, 0.2, 1.0, 5.0)
ANSWER_SECONDS_MAX = 1.0
PER_MINUTE, SLOTS = 60, 5
NO_LIMIT = {"rpm": 1_000_000, "concurrent": 10_000}
DENY = {"RELAY_LIMITS__ON_STORE_ERROR": "deny"}
Start = Callable[..., Crew]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def start(fresh_directory: Callable[[], Path]) -> Iterator[Start]:
    """start(redis_url, NAME="value"): four workers on that Redis, for this test alone."""
    with contextlib.ExitStack() as stack:

        def start(redis_url: str, **environ: str) -> Crew:
            crew = stack.enter_context(crew_of(WORKERS, redis_url, fresh_directory(), **environ))
            crew.answer_in_kind()
            return crew

        yield start


@pytest.mark.parametrize("seconds", OUTAGE)
def test_redis_is_absent_comes_goes_and_comes_back_and_nobody_is_refused(
    start: Start, redis: RedisServer, seconds: float
) -> None:
    redis.kill()
    crew = start(redis.url)
    with one_caller_each(crew.relay, WORKERS) as neighbours:
        assert limits_of(neighbours) == ["degraded"] * WORKERS
        bring_back(redis, neighbours)
        with steady_load(crew.relay.port, crew.new_key(**NO_LIMIT)) as load, five_streams(crew) as five:
            redis.kill()
            until(lambda: limits_of(neighbours) == ["degraded"] * WORKERS, NOTICED_SECONDS_MAX, "degraded")
            assert 0 < passed(crew) <= PER_MINUTE
            time.sleep(seconds - 1)
            exact_after = bring_back(redis, neighbours)
            assert passed(crew) == PER_MINUTE
            assert refusals(crew, five) == {"too_many_streams"}
    assert (set(load.statuses), load.are_whole) == ({200}, True)
    print(f"exact {exact_after:.1f} s after its return; {told(load)}")
    assert refusals(crew, five) == {WHOLE}


@pytest.mark.parametrize("seconds", OUTAGE)
def test_denial_is_an_honest_503_and_ends_when_redis_is_back(start: Start, redis: RedisServer, seconds: float) -> None:
    crew = start(redis.url, **DENY)
    key = crew.new_key(**NO_LIMIT)
    with (
        one_caller_each(crew.relay, WORKERS) as neighbours,
        five_streams(crew),
        steady_load(crew.relay.port, key) as load,
    ):
        time.sleep(0.5)
        redis.kill()
        until(lambda: limits_of(neighbours) == ["degraded"] * WORKERS, NOTICED_SECONDS_MAX, "degraded")
        noticed_at = time.monotonic()
        time.sleep(seconds)
        during = load.since(noticed_at)
        bring_back(redis, neighbours)
        back_at = time.monotonic()
        until(lambda: are_served(load.since(back_at)[-8:]), EXACT_SECONDS_MAX, "the end of the refusals")
    assert {(each.status, each.code) for each in during} == {(503, "store_unavailable")}
    assert set(load.statuses) == {200, 503}
    print(told(load))


@pytest.mark.parametrize("seconds", SLOW)
def test_a_slow_redis_costs_callers_a_moment_and_nothing_else(start: Start, redis: RedisServer, seconds: float) -> None:
    with slow_proxy.before(redis.port) as proxy:
        crew = start(proxy.url)
        key = crew.new_key(**NO_LIMIT)
        for delay_seconds in (0.0, *DELAYS_SECONDS, float("inf")):
            proxy.delay_seconds = delay_seconds
            with steady_load(crew.relay.port, key) as load:
                time.sleep(seconds)
            print(f"delay {delay_seconds} s: {told(load)}")
            assert (set(load.statuses), load.are_whole) == ({200}, True)
            assert load.percentile(1) < ANSWER_SECONDS_MAX


def bring_back(redis: RedisServer, neighbours: dict[int, RawCaller]) -> float:
    """Start Redis again; return how many seconds later the limits were exact."""
    redis.start()
    back_at = time.monotonic()
    until(lambda: limits_of(neighbours) == ["ok"] * WORKERS, EXACT_SECONDS_MAX, "the end of the degraded state")
    return time.monotonic() - back_at


@contextlib.contextmanager
def five_streams(crew: Crew) -> Iterator[str]:
    """A key's five streams, held until the block ends; all then end whole. Lends the key."""
    key = crew.new_key(rpm=1_000_000, concurrent=SLOTS)
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(RawCaller(crew.relay.port, key=key)) for _ in range(SLOTS)]
        for caller in callers:
            caller.post(CHAT, {**BODY, "model": "held", "stream": True})
            assert caller.read_answer_head().status == 200
        yield key
        crew.released.set()
        for caller in callers:
            assert caller.read_all().endswith(DONE)
            assert caller.ended_cleanly


def are_served(answers: list[Answered]) -> bool:
    """Eight in a row: on a busy machine Redis may be too late for one now and then."""
    return [each.status for each in answers] == [200] * 8


def limits_of(neighbours: dict[int, RawCaller]) -> list[str]:
    """What each worker's /health says of the limits."""
    return [check_of(caller) for caller in neighbours.values()]


def check_of(caller: RawCaller) -> str:
    caller.get("/health")
    caller.read_answer_head()
    return str(json.loads(caller.read_all())["checks"]["limits"])


def passed(crew: Crew) -> int:
    """How many of 240 parallel requests of a new key with 60 a minute succeed; the others are refused for that."""
    key = crew.new_key(rpm=PER_MINUTE, concurrent=1_000)
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(RawCaller(crew.relay.port, key=key)) for _ in range(40)]
        came = in_parallel([lambda c=caller: asks(c, 6) for caller in callers])
    assert came[WHOLE] + came["rate_limit_exceeded"] == came.total()
    return came[WHOLE]


def refusals(crew: Crew, key: str) -> set[str]:
    """What one request to each worker comes to."""
    with one_caller_each(crew.relay, WORKERS, key) as callers:
        return {outcome for caller in callers.values() for outcome in asks(caller, 1)}


def told(load: SteadyLoad) -> str:
    figures = ", ".join(
        f"{name} {load.percentile(share) * 1000:.0f} ms" for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))
    )
    return f"{dict(load.statuses)}, {figures}"
