"""How many connections there may be, and who ends so that others find room."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event

from relay.connections import connections
from relay.connections.connections import IDLE_SECONDS_MIN, RESERVE
from tests.connections.conftest import Serving, hello
from tests.connections.test_connections import state, was_ended
from tests.pump.partners import Caller, until

Serve = Callable[..., Serving]


class Clock:
    """Stands for the module `time` within the room."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connections, "time", clock)
    return clock


def in_a_row(serving: Serving, clock: Clock, count: int) -> list[Caller]:
    """So many connections that wait, each a second longer than the next."""
    callers = []
    for _ in range(count):
        callers.append(serving.connect()[0])
        clock.now += 1
    return callers


def test_the_last_connections_are_kept_back(serve: Serve) -> None:
    serving = serve(admitted=3)
    for number in range(1, 6):
        serving.connect()
        assert serving.connections.is_full == (number > 3)


def test_busy_ones_count_as_well(serve: Serve) -> None:
    serving, over = serve(admitted=1), Event()
    serving.application = lambda environ, start_response: over.wait() and hello(environ, start_response)
    caller, _ = serving.connect()
    caller.ask()
    until(lambda: state(serving) == (1, 0))
    assert not serving.connections.is_full
    serving.connect()
    assert serving.connections.is_full
    over.set()
    caller.until(b"hello")


def test_where_only_the_reserve_is_left_the_longest_idle_ends(serve: Serve, clock: Clock) -> None:
    serving = serve(admitted=3)
    callers = in_a_row(serving, clock, 3)
    assert not any(map(was_ended, callers))
    serving.connect()
    assert [was_ended(caller) for caller in callers] == [True, False, False]
    assert not serving.connections.is_full


def test_a_place_that_was_made_is_free_at_once(serve: Serve, clock: Clock) -> None:
    """The one that comes has its request with it, and is served before the loop sees any other end."""
    serving, full = serve(admitted=3), list[bool]()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        full.append(serving.connections.is_full)
        return hello(environ, start_response)

    serving.application = application
    in_a_row(serving, clock, 3)
    caller, _ = serving.accept()
    caller.ask()
    caller.until(b"hello")
    assert full == [False]


def test_each_of_many_that_come_at_once_makes_room_for_itself(serve: Serve, clock: Clock) -> None:
    serving = serve(admitted=4)
    callers = in_a_row(serving, clock, 4)
    for _ in range(3):
        serving.accept()
    gevent.sleep(0)
    assert [was_ended(caller) for caller in callers] == [True, True, True, False]


def test_one_that_came_this_moment_is_not_ended(serve: Serve, clock: Clock) -> None:
    serving = serve(admitted=1)
    first, _ = serving.connect()
    clock.now += IDLE_SECONDS_MIN - 0.001
    second, _ = serving.connect()
    assert (was_ended(first), was_ended(second)) == (False, False)
    clock.now += 0.001
    serving.connections.make_room()
    assert (was_ended(first), was_ended(second)) == (True, False)


def test_where_nobody_can_be_accepted_any_more_room_is_made_as_well(serve: Serve, clock: Clock) -> None:
    """All came at once, too young to be ended by each other; from then on nobody comes who could."""
    serving = serve(admitted=2)
    callers = [serving.connect()[0] for _ in range(RESERVE + 2)]
    serving.connections.make_room()
    assert state(serving) == (0, RESERVE + 2)
    clock.now += IDLE_SECONDS_MIN
    serving.connections.make_room()
    until(lambda: state(serving) == (0, 2))
    assert [was_ended(caller) for caller in callers] == [True] * RESERVE + [False] * 2


def test_a_busy_connection_is_never_ended_for_another(serve: Serve, clock: Clock) -> None:
    serving, over = serve(admitted=1), Event()
    serving.application = lambda environ, start_response: over.wait() and hello(environ, start_response)
    busy, _ = serving.connect()
    busy.ask()
    until(lambda: state(serving) == (1, 0))
    clock.now += 10
    serving.connect()
    serving.connections.make_room()
    assert not was_ended(busy)
    over.set()
    assert busy.until(b"hello")


def test_one_that_was_served_begins_to_wait_anew(serve: Serve, clock: Clock) -> None:
    serving = serve(admitted=2)
    served, waiting = in_a_row(serving, clock, 2)
    served.ask()
    served.until(b"hello")
    clock.now += 10
    serving.connect()
    assert (was_ended(waiting), was_ended(served)) == (True, False)


@pytest.mark.parametrize("end", ["make_room", "end_idle"])
def test_a_connection_whose_request_has_come_is_served_and_not_ended(serve: Serve, clock: Clock, end: str) -> None:
    """It would be begun, and paid, with nobody left to answer."""
    serving = serve(admitted=3)
    callers = in_a_row(serving, clock, 3)
    callers[0].ask()
    serving.connections._admitted_max = 2
    getattr(serving.connections, end)()
    callers[0].until(b"hello")
    assert was_ended(callers[1])


def test_while_a_drain_ends_the_idle_nobody_goes_on_sending_what_was_refused(serve: Serve) -> None:
    serving = serve()

    def refuse(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("413 No", [("Content-Length", "0")])
        return []

    serving.application = refuse
    caller, _ = serving.connect()
    caller.send(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n" + b"x" * 1000)
    caller.until(b"413 No")
    caller.send(b"x" * 1000)
    serving.connections.end_idle()
    until(lambda: all(greenlet.dead for greenlet in serving.greenlets))
