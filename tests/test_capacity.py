"""When there is no room: who is refused, how soon they may come again, and who is ended."""

from pathlib import Path

import pytest

from relay import capacity
from relay.capacity import (
    REFUSE_SHARE,
    RETRY_SECONDS_MAX,
    RETRY_SECONDS_MIN,
    SHED_SHARE,
    Capacity,
    resident_bytes,
)
from relay.core.errors import RelayError

BYTES_MAX = 1_000_000


class Worker:
    """A worker's connections and memory, as a test says. `free_bytes`: of them, what the process keeps for nothing.

    `shed`: how often it was told to end those that lag.
    """

    def __init__(self, memory_bytes_max: int = BYTES_MAX) -> None:
        self.is_full, self.bytes, self.free_bytes, self.shed = False, 0, 0, 0
        self.capacity = Capacity(lambda: self.is_full, self._shed, memory_bytes_max, lambda: self.bytes)
        self.capacity._give_back = self._give_back

    def _give_back(self) -> None:
        self.bytes, self.free_bytes = self.bytes - self.free_bytes, 0

    def _shed(self) -> None:
        self.shed += 1

    def uses(self, share: float) -> "Worker":
        self.bytes = int(share * BYTES_MAX)
        self.capacity.look()
        return self


def refusal(worker: Worker) -> RelayError:
    with pytest.raises(RelayError) as caught:
        worker.capacity.require()
    return caught.value


def test_where_there_is_room_all_are_let_in() -> None:
    worker = Worker().uses(0.5)
    worker.capacity.require()
    assert worker.shed == 0


def test_where_the_connections_are_used_up_nobody_is() -> None:
    worker = Worker()
    worker.is_full = True
    error = refusal(worker)
    assert (error.code, error.kind.status) == ("overloaded", 503)
    worker.is_full = False
    worker.capacity.require()


def test_those_who_were_refused_do_not_all_come_back_at_once() -> None:
    worker = Worker()
    worker.is_full = True
    seconds = {refusal(worker).retry_after_seconds or 0.0 for _ in range(200)}
    assert len(seconds) > 100
    assert RETRY_SECONDS_MIN <= min(seconds) < 2
    assert 4 < max(seconds) <= RETRY_SECONDS_MAX


@pytest.mark.parametrize(
    ("share", "refused", "shed"),
    [
        (REFUSE_SHARE - 0.001, False, 0),
        (REFUSE_SHARE, False, 0),
        (REFUSE_SHARE + 0.001, True, 0),
        (SHED_SHARE, True, 0),
        (SHED_SHARE + 0.001, True, 1),
        (2.0, True, 1),
    ],
)
def test_memory_has_two_thresholds(share: float, refused: bool, shed: int) -> None:
    worker = Worker().uses(share)
    if refused:
        assert refusal(worker).code == "overloaded"
    else:
        worker.capacity.require()
    assert worker.shed == shed


def test_memory_that_is_free_already_refuses_and_ends_nobody() -> None:
    """Else a worker that had much to do once would refuse for ever."""
    worker = Worker()
    worker.free_bytes = 300_000
    worker.uses(0.99).capacity.require()
    assert (worker.shed, worker.capacity.memory_bytes) == (0, 690_000)


def test_where_there_is_enough_nothing_is_given_back() -> None:
    worker = Worker()
    worker.free_bytes = 300_000
    worker.uses(REFUSE_SHARE)
    assert worker.free_bytes == 300_000


def test_what_a_process_freed_is_given_back() -> None:
    """Small pieces, which the allocator keeps while a later one is alive."""
    pieces = [bytes(1_000) for _ in range(100_000)]
    last = bytes(1_000)
    full = resident_bytes()
    del pieces
    capacity.give_back_free_memory()
    assert resident_bytes() < full - 80_000_000
    assert last


def test_each_look_measures_anew_and_sheds_again_where_it_did_not_help() -> None:
    worker = Worker().uses(0.99).uses(0.97)
    assert (worker.shed, worker.capacity.memory_bytes) == (2, 970_000)
    worker.uses(0.5).capacity.require()
    assert worker.shed == 2


def test_nobody_is_measured_by_who_asks() -> None:
    worker = Worker()
    worker.bytes = 2 * BYTES_MAX
    worker.capacity.require()
    assert worker.shed == 0


def test_without_a_bound_memory_is_only_measured() -> None:
    worker = Worker(memory_bytes_max=0).uses(1_000.0)
    worker.capacity.require()
    assert (worker.shed, worker.capacity.memory_bytes) == (0, 1_000 * BYTES_MAX)


def test_the_bound_may_change_while_it_runs() -> None:
    worker = Worker(memory_bytes_max=0).uses(0.9)
    worker.capacity.memory_bytes_max = BYTES_MAX
    assert refusal(worker).code == "overloaded"


def test_a_process_knows_its_memory() -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert resident_bytes() == pytest.approx(int(status["VmRSS"].split()[0]) * 1024, rel=0.05)
    held = b"x" * 50_000_000
    assert resident_bytes() * 1.02 > int(status["VmRSS"].split()[0]) * 1024 + len(held)


def test_by_itself_it_measures_its_own_process() -> None:
    worker = Capacity(lambda: False, lambda: None, 0)
    worker.look()
    assert worker.memory_bytes == pytest.approx(resident_bytes(), rel=0.05)
