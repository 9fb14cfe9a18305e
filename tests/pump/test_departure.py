"""Seeing a caller leave: what the kernel is asked, and that the answer comes once and in time."""

import time
from collections.abc import Callable

import gevent
from gevent import socket

from relay.pump import departure
from relay.pump import sweep as sweep_module
from relay.pump.departure import Departure, has_left
from relay.pump.sweep import Sweep
from tests.pump.partners import WAYS_TO_LEAVE, Caller, turns_during, until

Ends = tuple[Caller, socket.socket]
SWEEP_SECONDS = sweep_module.SWEEP_SECONDS


def test_a_caller_that_is_there_has_not_left(ends: Ends) -> None:
    assert not has_left(ends[1].fileno())


def test_a_caller_that_sends_has_not_left(ends: Ends) -> None:
    ends[0].send(b"GET ")
    gevent.sleep(0.01)
    assert not has_left(ends[1].fileno())


@WAYS_TO_LEAVE
def test_a_caller_that_closed_has_left(ends: Ends, leave: Callable[[Caller], None]) -> None:
    leave(ends[0])
    until(lambda: has_left(ends[1].fileno()), 0.5)


@WAYS_TO_LEAVE
def test_a_caller_that_sent_before_it_closed_has_left(ends: Ends, leave: Callable[[Caller], None]) -> None:
    ends[0].send(b"GET ")
    leave(ends[0])
    until(lambda: has_left(ends[1].fileno()), 0.5)


def test_asking_takes_no_byte(ends: Ends) -> None:
    ends[0].send(b"GET ")
    gevent.sleep(0.01)
    has_left(ends[1].fileno())
    assert ends[1].recv(10) == b"GET "


def test_a_socket_that_is_closed_here_has_left() -> None:
    sock = socket.socket()
    descriptor = sock.fileno()
    sock.close()
    assert has_left(descriptor)


@WAYS_TO_LEAVE
def test_a_departure_is_told_once(ends: Ends, sweep: Sweep, leave: Callable[[Caller], None]) -> None:
    told: list[float] = []
    Departure(ends[1].fileno(), sweep, lambda: told.append(time.monotonic()))
    gevent.sleep(0.02)
    assert told == []
    leave(ends[0])
    until(lambda: told, 0.3)
    gevent.sleep(0.05)
    assert len(told) == 1


def test_a_departure_behind_waiting_bytes_is_looked_for_now_and_then(ends: Ends, sweep: Sweep) -> None:
    told: list[float] = []
    Departure(ends[1].fileno(), sweep, lambda: told.append(time.monotonic()))
    ends[0].send(b"GET ")
    assert turns_during(0.1) < 50, "the readable socket kept the loop turning"
    assert (len(sweep), told) == (1, [])
    ends[0].close()
    until(lambda: told, departure.POLL_SECONDS + 0.2)
    gevent.sleep(0.05)
    assert (len(told), len(sweep)) == (1, 0)


def test_looking_now_and_then_sees_a_departure_within_a_second() -> None:
    """The longest way: just looked, then the poll is due just behind a tick."""
    assert departure.POLL_SECONDS + SWEEP_SECONDS < 1


def test_a_stopped_departure_tells_nothing_and_leaves_nothing(ends: Ends, sweep: Sweep) -> None:
    told: list[float] = []
    watching = Departure(ends[1].fileno(), sweep, lambda: told.append(0.0))
    ends[0].send(b"GET ")
    until(lambda: len(sweep))
    watching.stop()
    watching.stop()
    ends[0].close()
    gevent.sleep(0.05)
    assert (told, len(sweep)) == ([], 0)


def test_a_departure_may_be_stopped_by_what_it_calls(ends: Ends, sweep: Sweep) -> None:
    told: list[float] = []

    def gone() -> None:
        told.append(0.0)
        watching.stop()

    watching = Departure(ends[1].fileno(), sweep, gone)
    ends[0].close()
    until(lambda: told)
    assert len(sweep) == 0
