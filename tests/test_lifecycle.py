"""SIGTERM and SIGHUP: what a worker does, in which order, and what it leaves alone."""

import os
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket

from relay import lifecycle
from relay.lifecycle import Lifecycle

LAME_DUCK_SECONDS = 0.05
DRAIN_SECONDS = 0.1


class Scene:
    """A worker, its streams, and what became of them: `notes`."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.worker = SimpleNamespace(alive=True, handle=self._handle, handle_request=self._handle_request)
        self.during: Callable[[socket.socket], None] = lambda client: None
        self.lifecycle = Lifecycle(self, LAME_DUCK_SECONDS, DRAIN_SECONDS, lambda: self.notes.append("reload"))
        self.lifecycle.attach(self.worker)

    def drain(self) -> None:
        self.notes.append("drain")

    def _handle(self, listener: object, client: socket.socket, address: object) -> None:
        self.worker.handle_request("listener", "request", client, address)

    def _handle_request(self, listener: object, request: object, client: socket.socket, address: object) -> str:
        self.during(client)
        return "its result"


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(lifecycle, "LOOK_SECONDS", 0.005)
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield Scene()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    monkeypatch.setattr(lifecycle, "time", SimpleNamespace(monotonic=lambda: float("inf")))  # ends its waiting
    gevent.sleep(LAME_DUCK_SECONDS + 0.02)


@pytest.fixture
def pair() -> Iterator[tuple[Any, Any]]:
    """A connection: the worker's end, and its caller's."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    gevent.sleep(0.005)


def wait_until(true: Callable[[], bool]) -> None:
    with gevent.Timeout(2):
        while not true():
            gevent.sleep(0.002)


def was_ended(caller: Any) -> bool:
    caller.settimeout(0.0)
    try:
        return bool(caller.recv(1) == b"")
    except BlockingIOError:
        return False


def test_at_first_only_readiness_says_so(scene: Scene, pair: tuple[Any, Any]) -> None:
    scene.lifecycle.idle.add(pair[0])
    send(signal.SIGTERM)
    assert scene.lifecycle.draining
    assert (scene.lifecycle.closed, scene.worker.alive, was_ended(pair[1])) == (False, True, False)


def test_then_the_listener_closes_idle_connections_end_and_streams_may_finish(
    scene: Scene, pair: tuple[Any, Any]
) -> None:
    busy = socket.socketpair()
    scene.lifecycle.idle.add(pair[0])
    scene.lifecycle.busy.add(busy[0])
    send(signal.SIGTERM)
    wait_until(lambda: scene.lifecycle.closed)
    assert scene.worker.alive is False
    wait_until(lambda: was_ended(pair[1]))
    assert not was_ended(busy[1])
    assert scene.notes == []
    scene.lifecycle.busy.discard(busy[0])
    scene.lifecycle.idle.add(busy[0])
    wait_until(lambda: was_ended(busy[1]))
    for end in busy:
        end.close()


def test_what_is_left_when_the_time_is_over_is_told(scene: Scene) -> None:
    begun = lifecycle.time.monotonic()
    send(signal.SIGTERM)
    wait_until(lambda: scene.notes == ["drain"])
    assert lifecycle.time.monotonic() - begun >= LAME_DUCK_SECONDS + DRAIN_SECONDS


def test_a_second_sigterm_changes_nothing(scene: Scene) -> None:
    send(signal.SIGTERM)
    send(signal.SIGTERM)
    wait_until(lambda: bool(scene.notes))
    gevent.sleep(LAME_DUCK_SECONDS + DRAIN_SECONDS)
    assert scene.notes == ["drain"]


def test_a_connection_that_its_caller_closed_meanwhile_does_no_harm(scene: Scene, pair: tuple[Any, Any]) -> None:
    scene.lifecycle.idle.add(pair[0])
    pair[0].close()
    send(signal.SIGTERM)
    wait_until(lambda: scene.notes == ["drain"])


def test_sighup_reads_the_configuration_again_each_time(scene: Scene) -> None:
    for _ in range(3):
        send(signal.SIGHUP)
    assert scene.notes == ["reload"] * 3
    assert not scene.lifecycle.draining


def test_a_signal_only_leaves_word(scene: Scene) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    assert scene.notes == [], "it was done in the middle of something else"
    gevent.sleep(0.005)
    assert scene.notes == ["reload"]


def test_a_connection_is_busy_with_its_request_and_idle_around_it(scene: Scene, pair: tuple[Any, Any]) -> None:
    states: list[tuple[bool, bool]] = []
    life = scene.lifecycle
    scene.during = lambda client: states.append((client in life.busy, client in life.idle))
    scene.worker.handle("listener", pair[0], "address")
    assert states == [(True, False)]
    assert (life.busy, life.idle) == (set(), set())


def test_a_request_that_fails_leaves_no_connection_behind(scene: Scene, pair: tuple[Any, Any]) -> None:
    def fail(client: object) -> None:
        raise ValueError("canary")

    scene.during = fail
    with pytest.raises(ValueError, match="canary"):
        scene.worker.handle("listener", pair[0], "address")
    assert (scene.lifecycle.busy, scene.lifecycle.idle) == (set(), set())


def test_what_gunicorn_gets_back_is_its_own(scene: Scene, pair: tuple[Any, Any]) -> None:
    assert scene.worker.handle_request("listener", "request", pair[0], "address") == "its result"
    scene.lifecycle.idle.discard(pair[0])
