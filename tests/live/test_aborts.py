"""E1 to E3, E6 in number: callers that leave at random moments, in any way. The upstream is told in time, always, and
of them nothing is left: no slot, descriptor, thread or greenlet, and no connection to the upstream.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.bench import procfs
from tests.live.bench.caller import RawCaller
from tests.live.bench.counted_greenlets import Greenlets
from tests.live.bench.many_callers import in_parallel
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.throng import percentiles
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.cases import ASK, CHAT, ONE, STREAM, ask, in_silence, nothing_left, refusal
from tests.live.departures import LEAVING, NOTICED_SECONDS_MAX, SEED, Rambling, request

CALLERS, SLOTS = 4, 8
WARM_UP = 40
PAUSES_SECONDS = (0.002, 0.01, 0.03, 0.06, 0.1)
IN_A_PIECE, AS_STREAM = 0.1, 0.8  # how many requests are never whole; how many of the others want a stream
SETTLED_SECONDS_MAX = 5.0
# The worker's own two, and those of its pools: four for the database, ten of gevent's; they come and go as needed.
THREADS_MAX = 16


@pytest.fixture
def greenlets(tmp_path: Path) -> Greenlets:
    return Greenlets(tmp_path)


@pytest.fixture
def relay(upstream: ScriptedUpstream, greenlets: Greenlets, start_relay: Callable[..., RelayProcess]) -> RelayProcess:
    return start_relay(upstream.base_url, **greenlets.environ)


class Deserters:
    """Callers that ask and leave. `left`: when which of them did, by the name that its request carries."""

    def __init__(self, port: int, key: str) -> None:
        self.left: dict[str, float] = {}
        self._port, self._key = port, key

    def go(self, aborts: int) -> None:
        turns = [range(first, aborts, CALLERS) for first in range(CALLERS)]
        in_parallel([lambda turn=turn: self._leave_all(turn) for turn in turns], 60 + aborts)

    def _leave_all(self, numbers: range) -> Iterator[str]:
        for number in numbers:
            with RawCaller(self._port, key=self._key) as caller:
                self._leave(caller, f"abort-{number}", random.Random(SEED + number))
        yield "left"

    def _leave(self, caller: RawCaller, name: str, chance: random.Random) -> None:
        if chance.random() < IN_A_PIECE:
            raw = request(self._key, name)
            caller.send(raw[: chance.randrange(1, len(raw))])
        else:
            caller.post(CHAT, STREAM if chance.random() < AS_STREAM else ASK, [("traceparent", name)])
        time.sleep(chance.choice(PAUSES_SECONDS) * chance.random())
        leave = chance.choice(list(LEAVING.values()))
        self.left[name] = time.monotonic()
        leave(caller)
        if leave is RawCaller.half_close:
            assert caller.wait_closed(), "it waits on after a half-close"


@pytest.mark.parametrize("aborts", [200, pytest.param(10_000, marks=pytest.mark.soak)])
def test_aborts_at_random_moments_leave_nothing_behind(
    relay: RelayProcess, upstream: ScriptedUpstream, greenlets: Greenlets, aborts: int
) -> None:
    key = relay.create_key("aborts", rpm=1_000_000, concurrent=SLOTS)
    upstream.answer(Rambling(SEED))
    Deserters(relay.port, key).go(WARM_UP)
    until(lambda: is_quiet(relay, upstream), SETTLED_SECONDS_MAX, "the end of all connections")
    pids = relay.worker_pids()
    alive = greenlets.count(pids)
    with nothing_left(relay, upstream) as owed:
        owed.requests = None  # a reset may come before the request was read
        deserters, rambling = Deserters(relay.port, key), Rambling(SEED)
        upstream.answer(rambling)
        deserters.go(aborts)
        until(lambda: is_quiet(relay, upstream), SETTLED_SECONDS_MAX, "the end of all connections")
        assert_told(rambling, deserters, aborts)
        assert_all_slots_are_free(relay, upstream, key)
    until(lambda: greenlets.count(pids) <= alive, SETTLED_SECONDS_MAX, f"{alive} greenlets, as before")
    assert sum(map(procfs.threads, pids)) <= THREADS_MAX


def is_quiet(relay: RelayProcess, upstream: ScriptedUpstream) -> bool:
    return upstream.busy == 0 and relay.sockets_from_callers() == 0


def assert_told(rambling: Rambling, deserters: Deserters, aborts: int) -> None:
    """Each answer that was begun has ended, soon after its caller left."""
    assert rambling.begun.keys() == rambling.ended.keys()
    seconds = [max(0.0, at - deserters.left[name]) for name, at in rambling.ended.items()]
    median, p99 = percentiles(seconds)
    print(f"{len(seconds)} of {aborts} reached the upstream, closed after (p50, p99, max) "
          f"{median:.4f}, {p99:.4f}, {max(seconds):.4f} s")  # fmt: skip
    assert len(seconds) > aborts / 3, "many aborts must hit a request that was let in"
    assert p99 <= NOTICED_SECONDS_MAX


def assert_all_slots_are_free(relay: RelayProcess, upstream: ScriptedUpstream, key: str) -> None:
    """As many streams as the key may have, and not one more."""
    upstream.answer(in_silence)
    with ExitStack() as stack:
        for _ in range(SLOTS):
            caller = stack.enter_context(RawCaller(relay.port, key=key))
            assert ask(caller).status == 200
            caller.read_until(ONE)
        caller = stack.enter_context(RawCaller(relay.port, key=key))
        assert refusal(caller, ask(caller)) == (429, "too_many_streams")
