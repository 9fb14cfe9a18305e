"""One contract test for each trait of gevent that the pump stands on; each name says what would break."""

import select
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import monkey, socket
from gevent.hub import Waiter

from tests.pump.partners import Caller, until

Ends = tuple[Caller, socket.socket]
READ, WRITE = 1, 2


class Broken(Exception):
    """Raised by a callback."""


@pytest.fixture
def watch(ends: Ends) -> Iterator[Callable[..., Any]]:
    """watch(events): a watcher on the serving socket, closed in the end."""
    made = []

    def create(events: int = READ) -> Any:
        made.append(gevent.get_hub().loop.io(ends[1].fileno(), events))
        return made[-1]

    yield create
    for io in made:
        io.stop()
        io.close()


def test_guarding_stands_on_a_raising_callback_stopping_its_watcher(
    ends: Ends, watch: Callable[..., Any], loop_failures: list[str]
) -> None:
    """Without a guard the stream would hang for ever, silently."""
    calls = []

    def fail() -> None:
        calls.append(time.monotonic())
        raise Broken

    watch().start(fail)
    ends[0].send(b"a")
    gevent.sleep(0.05)
    assert len(calls) == 1
    assert "Broken" in loop_failures.pop()


def test_pausing_stands_on_a_stopped_watcher_starting_again(ends: Ends, watch: Callable[..., Any]) -> None:
    calls: list[int] = []
    io, idle = watch(), gevent.get_hub().loop.activecnt
    for number in (1, 2):
        io.start(calls.append, number)
        io.start(calls.append, number)
        ends[0].send(b"a")
        until(lambda number=number: number in calls, 0.5)
        io.stop()
        io.stop()
        ends[1].recv(10)
    assert gevent.get_hub().loop.activecnt == idle


def test_wanting_to_write_stands_on_a_stopped_watcher_changing_its_events(
    ends: Ends, watch: Callable[..., Any]
) -> None:
    calls: list[str] = []
    io = watch(READ)
    io.start(calls.append, "read")
    io.stop()
    io.events = WRITE
    io.start(calls.append, "write")
    until(lambda: calls, 0.5)
    assert set(calls) == {"write"}


def test_watching_stands_on_two_watchers_of_one_descriptor_living_side_by_side(
    ends: Ends, watch: Callable[..., Any]
) -> None:
    """The caller's socket is watched for its departure and for room to write."""
    calls: set[str] = set()
    watch(READ).start(calls.add, "read")
    watch(WRITE).start(calls.add, "write")
    ends[0].send(b"a")
    until(lambda: calls == {"read", "write"}, 0.5)


def test_waking_stands_on_a_waiter_switching_at_once_from_the_loop() -> None:
    order = []

    def wait() -> None:
        waiter.get()
        order.append("woken")

    waiter = Waiter()
    waiting = gevent.spawn(wait)
    gevent.sleep(0)
    gevent.get_hub().loop.run_callback(lambda: (waiter.switch(None), order.append("behind")))
    waiting.join(1)
    assert order == ["woken", "behind"]


def test_ending_after_a_kill_stands_on_a_waiter_that_nobody_waits_for_taking_a_switch() -> None:
    waiter = Waiter()
    waiting = gevent.spawn(waiter.get)
    gevent.sleep(0)
    waiting.kill()
    gevent.get_hub().loop.run_callback(waiter.switch, None)
    gevent.sleep(0.01)
    assert waiter.ready()


def test_interrupting_stands_on_throwing_into_a_greenlet_from_the_loop(ends: Ends, loop_failures: list[str]) -> None:
    waiting = gevent.spawn(ends[1].recv, 1)
    gevent.sleep(0)
    gevent.get_hub().loop.run_callback(waiting.throw, Broken())
    with pytest.raises(Broken):
        waiting.get(timeout=1)
    loop_failures.clear()


def test_cutting_stands_on_callbacks_running_in_the_loop() -> None:
    ran: list[object] = []
    gevent.get_hub().loop.run_callback(lambda: ran.append(gevent.getcurrent()))
    gevent.sleep(0.01)
    assert ran == [gevent.get_hub()]


def test_asking_the_kernel_stands_on_the_original_poll(ends: Ends) -> None:
    """gevent's own waits for the loop, from within which it is asked."""
    poll = monkey.get_original("select", "poll")()
    assert type(poll).__module__ == "select"
    poll.register(ends[1].fileno(), select.POLLRDHUP)
    assert poll.poll(0) == []
    ends[0].half_close()
    until(lambda: poll.poll(0) == [(ends[1].fileno(), select.POLLRDHUP)], 0.5)


def test_the_sweep_stands_on_a_repeating_timer_that_rests_and_starts_again() -> None:
    calls: list[float] = []
    timer = gevent.get_hub().loop.timer(0.01, 0.01)
    for _ in range(2):
        calls.clear()
        timer.start(lambda: calls.append(time.monotonic()))
        until(lambda: len(calls) >= 3, 0.5)
        timer.stop()
        calls.clear()
        gevent.sleep(0.03)
        assert calls == []
    timer.close()


def test_non_blocking_writes_stand_on_a_timeout_of_zero(ends: Ends) -> None:
    ends[1].settimeout(0.0)
    with pytest.raises(BlockingIOError), gevent.Timeout(1):
        while True:
            ends[1].send(b"x" * 10_000)


def test_a_bounded_ending_stands_on_a_timeout_ending_a_blocked_sendall(ends: Ends) -> None:
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
        ends[1].sendall(b"x" * 10_000_000)
