"""What happens to streams on four workers when the worker that makes one is killed, and when Redis is away."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from relay.core.event_ids import mint_stream_id
from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.returning import (
    ASK,
    CHAT,
    PATIENCE_SECONDS,
    Counting,
    Taken,
    ask_again,
    begin,
    come_back,
    state_of,
)
from tests.live.bench.waiting import until
from tests.live.bench.workers import connections_of, one_caller_each
from tests.stores.redis_server import RedisServer

RESTARTED_SECONDS_MAX = 10.0
SLOT_SECONDS_MAX = 15.0
DETACH_SECONDS = 1.0
# Until the other process is seen to read no more, and a look.
GIVEN_UP_SECONDS_MAX = DETACH_SECONDS + 10.0
OUTAGE = [1.5, pytest.param(3.0, marks=pytest.mark.soak), pytest.param(12.0, marks=pytest.mark.soak)]
PAUSE_SECONDS = 0.02
ONCE = ("Idempotency-Key", "once")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as redis:
        yield redis


@pytest.fixture(scope="module")
def crew(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    directory = tmp_path_factory.mktemp("streams")
    detach = {"RELAY_RESUME__DETACH_SECONDS": str(DETACH_SECONDS)}
    with crew_of(WORKERS, redis.url, directory, **detach) as crew:
        yield crew


@pytest.fixture
def key(crew: Crew) -> str:
    crew.new_round()
    key = crew.new_key(rpm=1_000_000, concurrent=1)
    until(lambda: is_settled(crew, key), 15.0, "the end of the last outage")
    return key


def is_settled(crew: Crew, key: str) -> bool:
    """Whether every worker dares to say that a stream is unknown."""
    with one_caller_each(crew.relay, WORKERS, key) as callers:
        for caller in callers.values():
            caller.get(f"/v1/streams/{mint_stream_id()}")
        return {caller.read_head()[0] for caller in callers.values()} == {404}


def producer_of(crew: Crew, counting: Counting) -> int:
    """The pid of the worker that asked the upstream last."""
    [pid] = connections_of(crew.relay, [counting.peer_port])
    return pid


@pytest.mark.usefixtures("key")
def test_the_streams_of_a_killed_worker_end_with_a_word_and_their_slots_come_back(crew: Crew) -> None:
    """One that others follow, and one that nobody reads."""
    key = crew.new_key(rpm=1_000_000, concurrent=2)
    counting = Counting(1_000, burst=1, pause_seconds=0.01, stop_at=50)
    crew.upstream.answer(counting.script)
    with one_caller_each(crew.relay, WORKERS, key) as four:
        victim, caller = four.popitem()
        unseen = Taken().read(began(caller), 5)
        with begin_at(victim, crew, key, counting) as caller:
            taken = Taken().read(caller, 20)
            followers = [Follower(other, key, taken) for other in four.values()]
            for follower in followers:
                follower.read_until(50)
            os.kill(victim, signal.SIGKILL)
            died = time.monotonic()
        for follower in followers:
            follower.taken.read_on(follower.caller)
        told_after = time.monotonic() - died
    assert [follower.taken.error for follower in followers] == ["relay_restarted"] * (WORKERS - 1)
    assert [follower.taken.texts for follower in followers] == [counting.texts[20:50]] * (WORKERS - 1)
    assert told_after <= RESTARTED_SECONDS_MAX
    assert_ended(crew, key, taken)
    assert_ended(crew, key, unseen)
    calls = counting.calls
    with begin(crew.relay.port, key, ONCE) as again:
        assert Taken(taken.stream_id).read(again).error == "relay_restarted"
    assert counting.calls == calls
    until(lambda: status_of_a_new_stream(crew, key) == 200, SLOT_SECONDS_MAX - told_after, "a slot")
    print(f"told {told_after:.1f} s, slot back {time.monotonic() - died:.1f} s after the kill")


def began(caller: RawCaller) -> RawCaller:
    """The same with a resumable stream asked for."""
    caller.post(CHAT, ASK, [("Relay-Resume", "1")])
    return caller


@contextlib.contextmanager
def begin_at(pid: int, crew: Crew, key: str, counting: Counting) -> Iterator[RawCaller]:
    """A claimed stream on that worker: the kernel deals connections out, so there are some in vain."""
    with one_caller_each(crew.relay, WORKERS, key) as four:
        four[pid].post(CHAT, ASK, [ONCE])
        until(lambda: counting.calls == 2, what="the second call")
        assert producer_of(crew, counting) == pid
        yield four[pid]


def assert_ended(crew: Crew, key: str, taken: Taken) -> None:
    """On whichever worker, and what is kept can be read."""
    for _ in range(WORKERS):
        assert state_of(crew.relay.port, key, taken.stream_id)["error"] == {"code": "relay_restarted"}
    with come_back(crew.relay.port, key, taken) as again:
        assert taken.read(again).error == "relay_restarted"


class Follower:
    """Somebody who reads along on a worker of its own."""

    def __init__(self, caller: RawCaller, key: str, first: Taken) -> None:
        self.caller, self.taken = caller, Taken(first.stream_id, seq=first.seq)
        caller.key = key
        ask_again(caller, self.taken)

    def read_until(self, seq: int) -> None:
        self.taken.read(self.caller, seq - self.taken.seq)


def status_of_a_new_stream(crew: Crew, key: str) -> int:
    with begin(crew.relay.port, key) as caller:
        return caller.read_head()[0]


@pytest.mark.parametrize("seconds", OUTAGE)
def test_redis_is_away_in_the_middle_and_nobody_loses_a_frame(
    crew: Crew, redis: RedisServer, key: str, seconds: float
) -> None:
    frames = int((seconds + 2.5) / PAUSE_SECONDS)
    counting = Counting(frames, burst=1, pause_seconds=PAUSE_SECONDS)
    crew.upstream.answer(counting.script)
    with one_caller_each(crew.relay, WORKERS, key) as four, begin(crew.relay.port, key) as caller:
        first = Taken().read(caller, 5)
        remote = [Follower(other, key, first) for other in four.values()]
        reading = [Reading(caller, first), *(Reading(each.caller, each.taken) for each in remote)]
        time.sleep(0.5)
        redis.kill()
        time.sleep(seconds)
        redis.start()
        for each in reading:
            each.join()
    local, *others = reading
    assert local.longest_pause_seconds < 1.0, "the outage was noticed"
    assert local.taken.texts == counting.texts
    assert [each.taken.texts for each in others] == [counting.texts[5:]] * WORKERS
    assert all(each.taken.is_whole for each in reading)
    until(lambda: is_known_to_all(crew, key, first.stream_id), 5.0, "the stream on every worker")
    assert counting.calls == 1


def is_known_to_all(crew: Crew, key: str, stream_id: str) -> bool:
    with one_caller_each(crew.relay, WORKERS, key) as callers:
        return all(is_done(caller, stream_id) for caller in callers.values())


def is_done(caller: RawCaller, stream_id: str) -> bool:
    caller.get(f"/v1/streams/{stream_id}")
    caller.read_head()
    return b'"status":"done"' in caller.read_all()


class Reading(threading.Thread):
    """Reads a stream to its end, in a thread; the longest time without a frame."""

    def __init__(self, caller: RawCaller, taken: Taken) -> None:
        super().__init__(daemon=True)
        self._caller, self.taken = caller, taken
        self.longest_pause_seconds, self._failure = 0.0, ""
        self.start()

    def run(self) -> None:
        came_at = time.monotonic()
        try:
            if not self.taken.texts:
                status, _ = self._caller.read_head()
                assert status == 200, (status, self._caller.read_all())
            for frame in self._caller.frames(PATIENCE_SECONDS):
                self.taken.take(frame)
                self.longest_pause_seconds = max(self.longest_pause_seconds, time.monotonic() - came_at)
                came_at = time.monotonic()
        except Exception as error:
            self._failure = repr(error)

    def join(self, timeout: float | None = PATIENCE_SECONDS) -> None:
        super().join(timeout)
        assert not self._failure, self._failure
        assert not self.is_alive()


def test_without_redis_a_claim_is_refused_and_a_stream_without_one_goes_on(
    crew: Crew, redis: RedisServer, key: str
) -> None:
    counting = Counting(20, burst=1, pause_seconds=0.01)
    crew.upstream.answer(counting.script)
    redis.kill()
    try:
        with begin(crew.relay.port, key, ONCE) as caller:
            assert caller.read_head()[0] == 503
            assert b"store_unavailable" in caller.read_all()
        assert counting.calls == 0
        with begin(crew.relay.port, key) as caller:
            taken = Taken().read(caller)
        assert taken.texts == counting.texts
    finally:
        redis.start()
    until(lambda: is_known_to_all(crew, key, taken.stream_id), 10.0, "the stream on every worker")


@pytest.mark.soak
def test_a_detached_stream_lives_as_long_as_somebody_reads_it_on_another_worker(crew: Crew, key: str) -> None:
    counting = Counting(1_000, burst=1, pause_seconds=0.02)
    crew.upstream.answer(counting.script)
    with begin(crew.relay.port, key) as caller, one_caller_each(crew.relay, WORKERS) as four:
        taken = Taken().read(caller, 5)
        victim = producer_of(crew, counting)
        reader = Follower(next(other for pid, other in four.items() if pid != victim), key, taken)
        caller.reset()
        reader.read_until(5 + int(3 * DETACH_SECONDS / 0.02))
        assert not crew.upstream.peer_closes, "given up while somebody read"
    crew.upstream.wait_for_peer_close(timeout_seconds=GIVEN_UP_SECONDS_MAX)
