"""One task in the making: its log tells each end once, whenever it comes."""

from typing import Any

import gevent
import pytest

from relay.core.errors import RelayError
from relay.core.flow import Ending
from relay.core.kept import Kept, Outcome
from relay.streams.production import Production
from tests.streams.scene import HEAD, KEY, Exchange, Flow, Scene, until
from tests.streams.scene import Work as StreamWork


class TaskFlow(Flow):
    def broken(self, end: str, code: str) -> Ending:
        self.last_seq += 1
        return Ending(end, b"failed\n\n", code=code)


class Work(StreamWork):
    """`notes`: what it was told."""

    def __init__(self, kept: Kept) -> None:
        super().__init__("finish")
        self._kept, self.notes = kept, list[object]()

    def hurry(self) -> None:
        self.notes.append("hurry")

    def answered(self, upstream: Any) -> None:
        self.notes.append("answered")

    def refused(self, error: RelayError) -> None:
        self._over(error.code)

    def cancelled(self, end: str, code: str) -> None:
        self._over((end, code))

    def _over(self, note: object) -> None:
        self.notes.append(note)
        self._kept.end(Outcome("failed", whole=False))


@pytest.fixture
def kept(scene: Scene) -> Kept:
    kept, _ = scene.streams.claim(scene.subject(), None)
    kept.open(HEAD)
    return kept


def begin(scene: Scene, kept: Kept, seconds_max: float = 60.0) -> tuple[Production, Work]:
    work = Work(kept)
    production = scene.streams.prepare(kept, work)
    gevent.spawn(scene.streams.make, production, seconds_max)
    gevent.sleep(0)
    return production, work


def test_it_is_made_within_its_own_log(scene: Scene, kept: Kept) -> None:
    _, work = begin(scene, kept)
    work.opened.set(exchange := Exchange(flow=TaskFlow()))
    until(lambda: scene.pump.streams)
    scene.pump.streams[0].ending.set(Ending("done", b"complete\n\n", whole=True))
    until(lambda: kept.outcome)
    assert (work.notes, kept.status, exchange.closed > 0) == (["answered"], "done", True)
    assert kept.log.last_piece() == b"complete\n\n"
    assert scene.streams.producing == {}
    assert KEY in scene.pump.unattended((KEY,)).names


def test_a_refusal_is_its_works_to_tell_and_it_stays_known(scene: Scene, kept: Kept) -> None:
    _, work = begin(scene, kept)
    work.opened.set_exception(RelayError("upstream_timeout", "late"))
    until(lambda: kept.outcome)
    assert (work.notes, kept.refusal) == (["upstream_timeout"], None)
    assert scene.store.find(kept.subject.id) is kept


def test_one_that_is_ended_before_its_turn_opens_nothing(scene: Scene, kept: Kept) -> None:
    work = Work(kept)
    work.before = lambda: work.notes.append("opened")
    production = scene.streams.prepare(kept, work)
    scene.streams.cancel(kept)
    scene.streams.make(production, 60.0)
    assert work.notes == ["hurry", ("cancelled", "cancelled")]


@pytest.mark.parametrize(("end", "code"), [("cancelled", "cancelled"), ("drained", "relay_draining")])
def test_one_that_is_ended_while_its_upstream_is_awaited_or_answers_is_told_why(
    scene: Scene, kept: Kept, end: str, code: str
) -> None:
    production, work = begin(scene, kept)
    production.cancel(end)
    until(lambda: kept.outcome)
    assert work.notes == ["hurry", (end, code)]
    other, _ = scene.streams.claim(scene.subject(), None)
    other.open(HEAD)
    production, work = begin(scene, other)
    work.opened.set(Exchange(flow=TaskFlow()))
    until(lambda: scene.pump.streams)
    production.cancel(end)
    assert scene.pump.streams[-1].cuts == [(end, code)]


def test_it_has_its_time(scene: Scene, kept: Kept) -> None:
    _, work = begin(scene, kept, seconds_max=0.02)
    until(lambda: kept.outcome)
    assert work.notes == ["hurry", ("deadline", "deadline_exceeded")]


def test_a_killed_one_says_so_in_its_log(scene: Scene, kept: Kept) -> None:
    _, work = begin(scene, kept)
    work.opened.set(Exchange(flow=TaskFlow()))
    until(lambda: scene.pump.streams)
    scene.pump.streams[0].ending.set_exception(gevent.GreenletExit())
    until(lambda: kept.outcome)
    assert kept.log.last_piece() == b"failed\n\n"
    assert kept.status == "failed"
