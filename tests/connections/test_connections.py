"""Which connections are busy, which only wait, and which of them end: with gunicorn's own loop, so that what is wrapped
is what it calls.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event
from gunicorn.config import Config

from relay.connections.connections import RESERVE, Connections
from relay.pump.takeover import HungUp, hang_up
from tests.connections.conftest import Serving, hello
from tests.pump.partners import Caller, until

Serve = Callable[..., Serving]


def state(serving: Serving) -> tuple[int, int]:
    """How many are busy, how many only wait."""
    return len(serving.connections.busy), len(serving.connections.idle)


def was_ended(caller: Caller) -> bool:
    return not caller.gets_nothing(0.02)


def test_a_connection_is_busy_with_its_request_and_idle_around_it(serving: Serving) -> None:
    states: list[tuple[int, int]] = []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        states.append(state(serving))
        return hello(environ, start_response)

    serving.application = application
    caller, sock = serving.connect()
    assert (state(serving), list(serving.connections.idle)) == ((0, 1), [sock])
    for number in (1, 2):
        caller.ask()
        caller.until(b"hello")
        caller.forget()
        until(lambda: state(serving) == (0, 1))
        assert states == [(1, 0)] * number
    caller.close()
    until(lambda: state(serving) == (0, 0))


def test_a_request_that_fails_leaves_no_connection_behind(serving: Serving) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        raise ValueError("canary")

    serving.application = application
    caller, _ = serving.connect()
    caller.ask()
    assert b" 500 " in caller.to_the_end()
    caller.close()
    until(lambda: state(serving) == (0, 0))
    assert serving.log.failures  # gunicorn's own
    serving.log.failures.clear()


def test_a_connection_whose_answer_was_hung_up_serves_nothing_more(serving: Serving) -> None:
    begun: list[int] = []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        begun.append(1)
        hang_up(environ["gunicorn.socket"])
        raise HungUp

    serving.application = application
    caller, _ = serving.connect()
    caller.send(b"GET / HTTP/1.1\r\n\r\n" * 3)
    assert caller.sees_the_other_leave()
    until(lambda: state(serving) == (0, 0))
    assert begun == [1]


def test_an_answer_that_ends_its_connection_does(serving: Serving) -> None:
    caller, _ = serving.connect()
    caller.ask(headers="Connection: close\r\n")
    assert caller.to_the_end().endswith(b"hello")
    until(lambda: state(serving) == (0, 0))


def test_idle_connections_can_all_be_ended(serving: Serving) -> None:
    over = Event()
    serving.application = lambda environ, start_response: over.wait() and hello(environ, start_response)
    busy, _ = serving.connect()
    busy.ask()
    until(lambda: state(serving) == (1, 0))
    idle = [serving.connect()[0] for _ in range(3)]
    serving.connections.end_idle()
    assert [was_ended(caller) for caller in (*idle, busy)] == [True, True, True, False]
    over.set()
    assert busy.until(b"hello")


def test_ending_one_that_is_closed_already_does_no_harm() -> None:
    life = Connections(RESERVE + 1)
    ends = socket.socketpair()
    for end in ends:
        end.close()
    life.idle[ends[0]] = 0.0
    life.end_idle()


def test_a_refusal_of_gunicorns_own_reaches_a_caller_that_goes_on_sending(serving: Serving) -> None:
    """It stands on gunicorn's loop calling `handle_error` for what it cannot parse."""
    caller, _ = serving.connect()
    sending = gevent.spawn(caller.send, b"GET / HTTP/9.9\r\n\r\n" + b"x" * 200_000)
    assert caller.to_the_end().startswith(b"HTTP/1.1 ")
    sending.get()
    caller.close()
    serving.log.failures.clear()


def test_what_gunicorn_gets_back_says_that_the_connection_goes_on(serving: Serving) -> None:
    """gunicorn 27.0.1 does not look at it; nothing may be raised."""
    calls = {"handle": lambda *_: None, "handle_request": lambda *_: True, "handle_error": lambda *_: None}
    worker = SimpleNamespace(**calls, cfg=Config())
    life = Connections(RESERVE)
    life.attach(worker)
    client = object()
    worker.handle_request("listener", SimpleNamespace(body=None), client, "address")
    assert (life.busy, list(life.idle)) == (set(), [client])
