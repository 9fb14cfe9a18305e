"""SIGTERM and SIGHUP: what a worker does, in which order, and what it leaves alone."""

import os
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import gevent
import pytest

from relay import lifecycle
from relay.lifecycle import Lifecycle

LAME_DUCK_SECONDS = 0.05
DRAIN_SECONDS = 0.1


class Scene:
    """A worker, its streams and connections, and what became of them: `notes`, without the endings of the idle ones.

    `idle_ended`: how often those were ended.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.idle_ended = 0
        self.making = False
        self.notified = 0
        self.worker = SimpleNamespace(alive=True, run=self.run, notify=self.notify)
        note = self.notes.append
        self.lifecycle = Lifecycle(self, self, LAME_DUCK_SECONDS, DRAIN_SECONDS, lambda: note("reload"))
        self.lifecycle.is_making = lambda: self.making
        self.lifecycle.attach(self.worker)

    def run(self) -> None:
        """gunicorn's: until no connection is left."""
        while self.worker.alive:
            gevent.sleep(0.002)
        self.notes.append("no connection is left")

    def notify(self) -> None:
        self.notified += 1

    def drain(self) -> None:
        self.notes.append("drain")

    def end_idle(self) -> None:
        self.idle_ended += 1


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


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    gevent.sleep(0.005)


def wait_until(true: Callable[[], bool]) -> None:
    with gevent.Timeout(2):
        while not true():
            gevent.sleep(0.002)


def test_at_first_only_readiness_says_so(scene: Scene) -> None:
    send(signal.SIGTERM)
    assert scene.lifecycle.draining
    assert (scene.lifecycle.closed, scene.worker.alive, scene.idle_ended) == (False, True, 0)


def test_then_the_listener_closes_and_connections_end_whenever_they_are_idle(scene: Scene) -> None:
    send(signal.SIGTERM)
    wait_until(lambda: scene.lifecycle.closed)
    assert (scene.worker.alive, scene.notes) == (False, [])
    wait_until(lambda: scene.idle_ended > 3)
    wait_until(lambda: scene.notes == ["drain"])
    ended = scene.idle_ended
    wait_until(lambda: scene.idle_ended > ended + 3)


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


def test_the_worker_leaves_when_no_connection_is_left_and_nothing_is_made(scene: Scene) -> None:
    running = gevent.spawn(scene.worker.run)
    gevent.sleep(0.01)
    assert not running.ready()
    send(signal.SIGTERM)
    running.get(timeout=1)
    assert (scene.notes, scene.notified) == (["no connection is left"], 0)


def test_what_is_made_without_a_connection_may_finish(scene: Scene) -> None:
    scene.making = True
    running = gevent.spawn(scene.worker.run)
    send(signal.SIGTERM)
    wait_until(lambda: scene.notified > 2)
    assert not running.ready()
    scene.making = False
    running.get(timeout=1)
    assert scene.notes == ["no connection is left"], "the drain's time was not over"


def test_what_does_not_end_holds_the_worker_up_no_longer_than_its_last_moment(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "LAST_SECONDS_MAX", 0.1)
    scene.making, begun = True, lifecycle.time.monotonic()
    running = gevent.spawn(scene.worker.run)
    send(signal.SIGTERM)
    running.get(timeout=2)
    seconds = lifecycle.time.monotonic() - begun
    assert LAME_DUCK_SECONDS + DRAIN_SECONDS + 0.1 <= seconds < 1
    assert scene.notes == ["no connection is left", "drain"]
