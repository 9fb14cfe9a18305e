"""F9: the wall clock is set forward and back, by an hour and by a day, under live streams, limits and a drain."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import Crew, crew_of, running_redis
from tests.live.bench.crowd import STAYS, Counting, Crowd, entered, numbered, outcomes, told
from tests.live.bench.false_clock import FalseClock
from tests.live.bench.waiting import until
from tests.live.cases import ASK, ask, refusal

HOUR, DAY = 3600, 86_400
JUMPS = (HOUR, 0, -HOUR, 0, DAY, 0, -DAY, 0)
STREAMS, PER_MINUTE, SLOTS = 20, 5, 2
OK, EXPIRED = (200, ""), (401, "invalid_api_key")
DRAIN_SECONDS = 3.0
ENVIRON = {"RELAY_SERVER__DRAIN_SECONDS": str(DRAIN_SECONDS), "RELAY_LIMITS__ON_STORE_ERROR": "deny"}


@pytest.fixture
def clock(tmp_path: Path) -> FalseClock:
    return FalseClock(tmp_path)


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.soak)], ids=["memory", "redis"])
def crew(request: pytest.FixtureRequest, clock: FalseClock, tmp_path: Path) -> Iterator[Crew]:
    """Redis keeps the true time, as another machine would."""
    with ExitStack() as stack:
        redis_url = "" if request.param == 1 else stack.enter_context(running_redis()).url
        yield stack.enter_context(crew_of(request.param, redis_url, tmp_path, **ENVIRON, **clock.environ))


@pytest.fixture
def alone(clock: FalseClock, tmp_path: Path) -> Iterator[Crew]:
    with crew_of(1, "", tmp_path, **ENVIRON, **clock.environ) as crew:
        yield crew


def test_jumps_cut_no_stream_and_lift_no_limit(crew: Crew, clock: FalseClock) -> None:
    counting = Counting()
    crew.upstream.answer(counting)
    wide = crew.new_key(rpm=1_000_000, concurrent=10_000)
    narrow, few = crew.new_key(rpm=PER_MINUTE, concurrent=100), crew.new_key(rpm=1_000_000, concurrent=SLOTS)
    began = time.monotonic()
    with Crowd(crew.relay.port, wide) as crowd, Crowd(crew.relay.port, few) as held:
        streams = [join(crowd) for _ in range(STREAMS)] + [join(held) for _ in range(SLOTS)]
        passed = [verdict(crew, narrow) for _ in range(PER_MINUTE)]
        assert passed[0] == OK
        for seconds in JUMPS:
            clock.set(seconds)
            assert verdict(crew, wide) == OK
            assert verdict(crew, narrow) == (429, "rate_limit_exceeded")
            assert verdict(crew, few) == (429, "too_many_streams")
            time.sleep(0.2)
        assert time.monotonic() - began < 55, "the minute is over: this machine is too slow for this test"
        counting.release()
        assert outcomes(streams) == {"whole": len(streams)}
    until(lambda: verdict(crew, few) == OK, 5, "a free slot")


def test_a_key_expires_at_its_time_and_not_before(alone: Crew, clock: FalseClock) -> None:
    """By the false clock: else nothing here would be tested."""
    key = alone.relay.create_key("two hours", expires="2h", rpm=1_000, concurrent=10)
    for seconds, wanted in ((0, OK), (HOUR, OK), (-DAY, OK), (DAY, EXPIRED), (0, OK)):
        clock.set(seconds)
        wait_for(alone, key, wanted)


def wait_for(crew: Crew, key: str, wanted: tuple[int, str]) -> None:
    """A key is remembered for two seconds."""
    until(lambda: verdict(crew, key) == wanted, 5, str(wanted))


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, *(pytest.param(s, marks=pytest.mark.soak) for s in (DAY, -DAY))])
def test_a_jump_ends_no_drain_early_and_holds_none_up(alone: Crew, clock: FalseClock, seconds: int) -> None:
    counting = Counting()
    alone.upstream.answer(counting)
    with Crowd(alone.relay.port, alone.new_key(rpm=1_000, concurrent=100)) as crowd:
        finishing, staying = crowd.join(10), crowd.join(10, STAYS)
        alone.relay.program.signal(signal.SIGTERM)
        began = time.monotonic()
        time.sleep(1.5)  # by now the listener is closed, and the arbiter waits
        clock.set(seconds)
        time.sleep(1.0)
        counting.release()
        assert outcomes(finishing) == {"whole": 10}
        assert outcomes(staying) == {"relay_draining": 10}
        assert alone.relay.program.wait(DRAIN_SECONDS + 10) == 0
        assert DRAIN_SECONDS <= time.monotonic() - began <= DRAIN_SECONDS + 4
    assert told(alone.relay) == entered(alone.relay.database_path) == {"done": 10, "drained": 10}


def join(crowd: Crowd) -> RawCaller:
    """A caller with a stream, once its limits' store was quick enough to say yes."""
    while True:
        [caller] = crowd.ask(1)
        if caller.read_head()[0] == 200:
            caller.read_until(numbered(0))
            return caller


def verdict(crew: Crew, key: str) -> tuple[int, str]:
    """Status and code of an answer; a Redis that is too slow on a busy machine is asked again."""
    while True:
        with RawCaller(crew.relay.port, key=key) as caller:
            head = ask(caller, ASK)
            if head.status == 200:
                return OK
            told = refusal(caller, head)
            assert 1 <= int(head.header("retry-after") or 1) <= 60
        if told != (503, "store_unavailable"):
            return told
