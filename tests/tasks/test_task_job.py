"""A task as the pool sees it: what it holds is held once, and given back once."""

from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.tasks.task_job import TaskJob

CALLER = Caller("key_1", KeyPolicy(0, 0))


class Scene:
    """A job at a gate that says what `answer` says. `given_back`: how often."""

    def __init__(self, answer: Callable[[ExitStack], ExitStack | None]) -> None:
        self.given_back = 0
        self._answer = answer
        self.job = TaskJob(CALLER, self)

    def try_admit(self, caller: Caller, request: Any) -> ExitStack | None:
        held = ExitStack()
        held.callback(self._note)
        return self._answer(held)

    def _note(self) -> None:
        self.given_back += 1


def refusing(code: str) -> Callable[[ExitStack], None]:
    def answer(held: ExitStack) -> None:
        raise RelayError(code, "no")

    return answer


def test_what_it_holds_is_given_back_once() -> None:
    scene = Scene(lambda held: held)
    assert scene.job.try_start()
    scene.job.give_back()
    scene.job.give_back()
    assert scene.given_back == 1


def test_it_is_given_back_when_its_request_is_over() -> None:
    scene = Scene(lambda held: held)
    assert scene.job.try_start()
    with scene.job.admit(CALLER, object()):
        assert scene.given_back == 0
    assert scene.given_back == 1


def test_it_does_not_start_without_a_slot_nor_where_nobody_can_be_asked() -> None:
    assert not Scene(lambda held: None).job.try_start()
    assert not Scene(refusing("store_unavailable")).job.try_start()


def test_what_its_turn_brings_is_told_in_the_corridor() -> None:
    scene = Scene(refusing("insufficient_quota"))
    assert scene.job.try_start()
    with pytest.raises(RelayError, match="no"), scene.job.admit(CALLER, object()):
        pass


def test_it_makes_and_ends_what_it_was_given() -> None:
    done: list[object] = []
    job = Scene(lambda held: None).job
    job.production = SimpleNamespace(cancel=done.append)
    job.run()
    job.make = done.append
    job.run()
    job.cancel("drained")
    assert done == [job.production, "drained"]
