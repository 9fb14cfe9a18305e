"""F2, F4, F8: a worker that is killed, or stands still, takes its own streams with it and nothing else: not the other
workers' streams, not a slot for long, not a row that was written.
"""

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.bench import procfs
from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.crowd import Counting, Crowd, is_intact, numbered, outcomes
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.waiting import until
from tests.live.bench.workers import one_caller_each
from tests.live.cases import ASK, CHAT, ask

SEED = 20_261_121
STREAMS = 40
# Allowed are 2; the machine may be busy.
RESPAWN_SECONDS_MAX = 5.0
BACK_SECONDS_MAX = 15.0
TIMEOUT_SECONDS = 60.0  # gunicorn.conf.py's, of a worker whose loop is stuck
ROWS_SECONDS_MAX = 2.0  # the ledger's turn takes one
ONE_WORKER_KILLS = [5, pytest.param(100, marks=pytest.mark.soak)]


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with running_redis() as redis, crew_of(WORKERS, redis.url, tmp_path) as crew:
        yield crew


@pytest.mark.parametrize("kills", [1, pytest.param(50, marks=pytest.mark.soak)])
def test_a_killed_worker_takes_nothing_of_the_others_with_it(crew: Crew, kills: int) -> None:
    dice = random.Random(SEED)
    for _ in range(kills):
        with Round(crew) as turn:
            victim = dice.choice(sorted(turn.by_worker))
            died = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: turn.is_replaced(victim), RESPAWN_SECONDS_MAX, "a worker in its place")
            turn.assert_lost_only(victim, died)


@pytest.mark.soak
def test_a_worker_that_stands_still_is_replaced_and_named(crew: Crew) -> None:
    with Round(crew) as turn:
        victim = min(turn.by_worker)
        os.kill(victim, signal.SIGSTOP)
        until(lambda: turn.is_replaced(victim), TIMEOUT_SECONDS + 15, "a worker in its place")
        assert f"WORKER TIMEOUT (pid:{victim})" in crew.relay.stderr()
        assert crew.relay.stderr().count("WORKER TIMEOUT") == 1
        turn.assert_lost_only(victim, time.monotonic())


class Round(ExitStack):
    """Streams on every worker, as many as their key may have."""

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew, self._counting = crew, Counting()
        crew.new_round()
        crew.upstream.answer(self._counting)
        with one_caller_each(crew.relay, WORKERS):
            self._key = crew.new_key(rpm=1_000_000, concurrent=STREAMS)
        self._crowd = self.enter_context(Crowd(crew.relay.port, self._key))
        self._callers = self._crowd.join(STREAMS)
        held = {pid: procfs.tcp_sockets(pid) for pid in crew.relay.worker_pids()}
        ports = {pid: {sock.remote_port for sock in sockets} for pid, sockets in held.items()}
        by_worker = {pid: [caller for caller in self._callers if port_of(caller) in ports[pid]] for pid in ports}
        self.by_worker = {pid: callers for pid, callers in by_worker.items() if callers}
        assert len(self.by_worker) > 1, "all streams met the same worker"

    def is_replaced(self, victim: int) -> bool:
        pids = self._crew.relay.worker_pids()
        return victim not in pids and len(pids) == WORKERS

    def assert_lost_only(self, victim: int, died: float) -> None:
        """The victim's streams are cut and their slots come back, exactly these; the others are whole."""
        lost = self.by_worker.pop(victim)
        assert outcomes(lost) == {"cut without a word": len(lost)}
        came = [self._when_there_is_room() for _ in lost]
        print(f"{len(lost)} slots of the killed worker back {came[-1] - died:.1f} s after it died")
        assert came[-1] - died <= BACK_SECONDS_MAX
        assert self._status() == 429
        self._counting.release()
        assert outcomes(caller for callers in self.by_worker.values() for caller in callers) == {
            "whole": STREAMS - len(lost)
        }

    def _when_there_is_room(self) -> float:
        until(lambda: self._status() == 200, 2 * BACK_SECONDS_MAX, "a slot of the killed worker")
        return time.monotonic()

    def _status(self) -> int:
        """Take a slot, if there is one, and keep it."""
        [caller] = self._crowd.ask(1)
        status = caller.read_head()[0]
        if status == 200:
            caller.read_until(numbered(0))
        else:
            time.sleep(0.1)
        return status


@pytest.mark.parametrize("kills", ONE_WORKER_KILLS)
def test_a_worker_that_is_killed_while_it_writes_loses_its_last_rows_at_most(tmp_path: Path, kills: int) -> None:
    dice = random.Random(SEED)
    with crew_of(1, "", tmp_path) as crew, Load(crew.relay, crew.new_key(rpm=1_000_000, concurrent=100)):
        for _ in range(kills):
            began = len(crew.relay.log_lines())
            time.sleep(dice.uniform(0.5, ROWS_SECONDS_MAX + 1))
            written = rows(crew.relay.database_path)
            [pid] = crew.relay.worker_pids()
            os.kill(pid, signal.SIGKILL)
            killed_at = time.time()
            until(lambda pid=pid: crew.relay.worker_pids() not in ([], [pid]), 10, "another worker")
            until(lambda: is_answered(crew.relay), 20, "its first answer")
            lines = [line for line in crew.relay.log_lines()[began:] if line["route"] == CHAT]
            assert_kept(crew.relay.database_path, written, lines, killed_at)
    assert is_intact(crew.relay.database_path)


def assert_kept(database: Path, written: set[str], lines: list[dict[str, object]], killed_at: float) -> None:
    kept = rows(database)
    assert written <= kept, "rows that had been seen are gone"
    told = {str(line["request_id"]): float(str(line["time"])) for line in lines}
    before = {name: at for name, at in told.items() if at <= killed_at}
    missing = [killed_at - at for name, at in before.items() if name not in kept]
    print(f"{len(missing)} of {len(before)} rows missing, the oldest from {max(missing, default=0):.2f} s before")
    assert len(before) > 10, "there was no load"
    assert all(age <= ROWS_SECONDS_MAX for age in missing)


class Load(ExitStack):
    """Callers that ask without a pause, and connect again when they are cut."""

    def __init__(self, relay: RelayProcess, key: str, callers: int = 3) -> None:
        super().__init__()
        self._relay, self._key, self._over = relay, key, threading.Event()
        for _ in range(callers):
            thread = threading.Thread(target=self._ask)
            thread.start()
            self.callback(thread.join, 10)
        self.callback(self._over.set)

    def _ask(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError), RawCaller(self._relay.port, key=self._key) as caller:
                while not self._over.is_set():
                    ask(caller, ASK)
                    caller.read_all()
                    self._over.wait(0.005)


def port_of(caller: RawCaller) -> int:
    return int(caller.sock.getsockname()[1])


def is_answered(relay: RelayProcess) -> bool:
    with contextlib.suppress(OSError), RawCaller(relay.port) as caller:
        caller.get("/health/live")
        return caller.read_head(2)[0] == 200
    return False


def rows(database: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("SELECT request_id FROM usage").fetchall()}
