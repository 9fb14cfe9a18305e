"""I1, I2, F2: a key's limits are exact over four workers and in one, whoever leaves and whoever is killed."""

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.many_callers import (
    BODY,
    CHAT,
    CUT,
    LEFT,
    WHOLE,
    ask_or_leave,
    asks,
    in_parallel,
    stream_at_last,
)
from tests.live.bench.waiting import until
from tests.live.bench.workers import connections_of, kill_worker, one_caller_each

SEED = 20_261_120
RUNS = 20
PER_MINUTE, SLOTS = 60, 5
CALLERS, ASKS_EACH = 40, 6
LEAVERS, ASKS_EACH_LEAVER = 20, 6
ATTEMPTS = 4
OPENS = 20 * SLOTS
BACK_SECONDS_MAX = 15.0
LONG_SECONDS = 140.0
REFUSED, TOO_LATE = "rate_limit_exceeded", "store_unavailable"


@pytest.fixture(scope="module", params=[WORKERS, 1], ids=["redis", "memory"])
def crew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """It denies where Redis answers too late: so a busy machine is told from a limit that is not exact."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(running_redis()).url if request.param > 1 else ""
        deny = {"RELAY_LIMITS__ON_STORE_ERROR": "deny"}
        yield stack.enter_context(crew_of(request.param, url, tmp_path_factory.mktemp("crew"), **deny))


def test_of_many_parallel_requests_exactly_a_minutes_worth_succeeds(crew: Crew, run: int = 0) -> None:
    """What Redis counted, but told too late, is not known: where that happened the round says little, and is repeated.

    What it may not say is that too many passed.
    """
    for attempt in range(ATTEMPTS):
        came = one_burst(crew)
        print(f"run {run}, attempt {attempt}: {dict(came)}")
        assert came[WHOLE] <= PER_MINUTE
        assert came[WHOLE] + came[TOO_LATE] >= PER_MINUTE
        assert crew.floor.arrived == came[WHOLE]
        assert came[WHOLE] + came[TOO_LATE] + came[REFUSED] == CALLERS * ASKS_EACH
        if not came[TOO_LATE]:
            return


def test_a_minute_is_exact_while_callers_leave_and_a_worker_is_killed(crew: Crew, run: int = 0) -> None:
    """At the upstream; of those that nobody waited for, or that died with their worker, it may have seen none or all.

    A worker that counts in its memory is left alive: its minute would go with it.
    """
    crew.new_round()
    crew.answer_at_once()
    dice, key = random.Random(SEED + run), crew.new_key(rpm=PER_MINUTE, concurrent=1_000)
    deeds = [lambda s=seed: some_that_leave(crew, key, s) for seed in seeds(dice, LEAVERS)]
    killing = [lambda: kill_one(crew, dice.choice(crew.relay.worker_pids()))] if crew.size > 1 else []
    came = in_parallel([*deeds, *killing])
    print(f"run {run} from seed {SEED + run}: {dict(came)}, {crew.floor.arrived} at the upstream")
    assert crew.floor.arrived <= PER_MINUTE
    assert crew.floor.arrived + came[LEFT] + came[CUT] + came[TOO_LATE] >= PER_MINUTE
    assert came[REFUSED] > 0
    assert came[LEFT] > 0


def test_five_streams_are_never_six_and_are_five_again_after_a_kill(crew: Crew, run: int = 0) -> None:
    crew.new_round()
    crew.ramble(SEED + run)
    dice, key = random.Random(SEED + run), crew.new_key(rpm=1_000_000, concurrent=SLOTS)
    killed_at: list[float] = []

    def kill() -> list[str]:
        time.sleep(dice.uniform(0.2, 1.0))
        pid = one_that_streams(crew)
        killed_at.append(time.monotonic())
        return kill_one(crew, pid)

    opens = [lambda s=seed: [stream_at_last(crew.relay.port, key, random.Random(s))] for seed in seeds(dice, OPENS)]
    came = in_parallel([kill, *opens])
    crew.hold()
    with contextlib.ExitStack() as stack:
        all_slots(crew, key, stack, killed_at[0] + BACK_SECONDS_MAX)
        took = time.monotonic() - killed_at[0]
        print(f"run {run} from seed {SEED + run}: {dict(came)}, all slots back {took:.1f} s after the kill")
        assert crew.floor.peak == SLOTS
        assert set(statuses_of_each_worker(crew, key)) <= {429, 503}
        assert (crew.floor.peak, crew.floor.live) == (SLOTS, SLOTS)
    assert min(came[WHOLE], came[LEFT]) > 0
    until(lambda: crew.floor.live == 0, BACK_SECONDS_MAX, "the end of all streams")
    with contextlib.ExitStack() as stack:
        all_slots(crew, key, stack, time.monotonic() + BACK_SECONDS_MAX)
    assert crew.floor.peak == SLOTS


@pytest.mark.soak
@pytest.mark.parametrize("run", range(1, RUNS + 1))
def test_each_of_twenty_runs_is_exact(crew: Crew, run: int) -> None:
    test_of_many_parallel_requests_exactly_a_minutes_worth_succeeds(crew, run)
    test_a_minute_is_exact_while_callers_leave_and_a_worker_is_killed(crew, run)
    test_five_streams_are_never_six_and_are_five_again_after_a_kill(crew, run)


@pytest.mark.soak
def test_every_sliding_minute_of_a_long_load_is_exact(crew: Crew) -> None:
    """61 that were all sent and answered within a minute would be too many, whenever exactly each was counted."""
    crew.new_round()
    crew.answer_at_once()
    key, passed = crew.new_key(rpm=PER_MINUTE, concurrent=1_000), list[tuple[float, float]]()
    dice, end = random.Random(SEED), time.monotonic() + LONG_SECONDS
    deeds = [lambda s=seed: press_on(crew, key, random.Random(s), end, passed) for seed in seeds(dice, 8)]
    came = in_parallel(deeds, 2 * LONG_SECONDS)
    passed.sort()
    spans = [max(answered for _, answered in passed[n : n + 61]) - passed[n][0] for n in range(len(passed) - 60)]
    print(f"{dict(came)} in {LONG_SECONDS} s; 61 took at least {min(spans):.3f} s")
    assert min(spans) >= 60
    assert len(passed) + came[TOO_LATE] >= PER_MINUTE * (LONG_SECONDS // 60)
    assert crew.floor.arrived == len(passed)


def one_burst(crew: Crew) -> Counter[str]:
    """Four times as many requests of a new key as may pass, from callers of several workers."""
    crew.new_round()
    crew.answer_at_once()
    key = crew.new_key(rpm=PER_MINUTE, concurrent=1_000)
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(RawCaller(crew.relay.port, key=key)) for _ in range(CALLERS)]
        came = in_parallel([lambda c=caller: asks(c, ASKS_EACH) for caller in callers])
        spread = connections_of(crew.relay, [caller.sock.getsockname()[1] for caller in callers])
    assert len(spread) > 1 or crew.size == 1
    return came


def seeds(dice: random.Random, count: int) -> list[int]:
    return [dice.getrandbits(32) for _ in range(count)]


def some_that_leave(crew: Crew, key: str, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    return (ask_or_leave(crew.relay.port, key, dice) for _ in range(ASKS_EACH_LEAVER))


def one_that_streams(crew: Crew) -> int:
    """The pid of the worker with the most live streams."""
    for _ in range(1_000):
        if holders := crew.holders():
            return holders.most_common(1)[0][0]
    raise AssertionError("nobody streams")


def kill_one(crew: Crew, pid: int) -> list[str]:
    kill_worker(crew.relay, pid)
    return []


def press_on(crew: Crew, key: str, dice: random.Random, end: float, passed: list[tuple[float, float]]) -> Iterator[str]:
    """Bursts now and then; note when what passed was sent and answered."""
    with RawCaller(crew.relay.port, key=key) as caller:
        while time.monotonic() < end:
            for _ in range(dice.choice([1, 1, 10])):
                sent = time.monotonic()
                [outcome] = asks(caller, 1)
                passed.extend([(sent, time.monotonic())] if outcome == WHOLE else [])
                yield outcome
            threading.Event().wait(dice.uniform(0, 1))


def all_slots(crew: Crew, key: str, stack: contextlib.ExitStack, deadline: float) -> None:
    """Open streams until as many are live as may be."""
    for _ in itertools.repeat(None):
        assert time.monotonic() < deadline, f"only {crew.floor.live} of {SLOTS} slots are back"
        caller = stack.enter_context(RawCaller(crew.relay.port, key=key))
        caller.post(CHAT, {**BODY, "stream": True})
        if caller.read_answer_head().status != 200:
            caller.close()
            time.sleep(0.1)
        elif crew.floor.live == SLOTS:
            return


def statuses_of_each_worker(crew: Crew, key: str) -> Iterator[int]:
    with one_caller_each(crew.relay, crew.size, key) as callers:
        for caller in callers.values():
            caller.post(CHAT, {**BODY, "stream": True})
            yield caller.read_answer_head().status
