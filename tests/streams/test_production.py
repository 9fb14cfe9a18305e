"""One stream in the making: whoever waits is told, whatever happens, and what was acquired is given back."""

import gevent
import pytest

from relay.core.errors import RelayError
from relay.core.flow import Ending
from relay.core.kept import Kept
from relay.core.usage import Usage
from relay.streams.production import Abandoned, outcome_of
from tests.streams.scene import FRAME, Exchange, Flow, Scene, Work, until


def log_of(kept: Kept) -> bytes:
    return b"".join(data for data, _ in kept.log.pieces())


def test_it_is_opened_made_and_ended(scene: Scene) -> None:
    kept, work = scene.begin()
    assert kept.status == "opening"
    work.opened.set(exchange := Exchange())
    until(lambda: kept.head)
    assert (kept.status, kept.outcome) == ("live", None)
    scene.pump.streams[0].ending.set(Ending("done", FRAME, whole=True))
    until(lambda: kept.outcome)
    assert (kept.status, log_of(kept), exchange.closed > 0) == ("done", FRAME, True)
    assert kept.outcome is not None
    assert (kept.outcome.whole, kept.outcome.usage) == (True, Usage(1, 2))
    assert scene.streams.producing == {}


def test_its_exchange_is_closed_before_its_last_frame_is_kept(scene: Scene) -> None:
    kept, stream, exchange = scene.live()
    seen: list[int] = []

    class Reader:
        cursor = 0

        def advance(self) -> None:
            seen.append(exchange.closed)

    kept.join(Reader())
    stream.ending.set(Ending("done", FRAME, whole=True))
    until(lambda: kept.outcome)
    assert seen
    assert all(seen)


def test_a_refusal_is_told_to_all_who_wait_and_accounted_for_once(scene: Scene) -> None:
    kept, work = scene.begin()
    refusals: list[RelayError] = []

    def wait() -> None:
        with pytest.raises(RelayError) as caught:
            scene.streams.wait_for_head(kept)
        refusals.append(caught.value)

    waiting = [gevent.spawn(wait) for _ in range(3)]
    gevent.sleep(0)
    assert kept.waiting == 3
    work.opened.set_exception(error := RelayError("too_many_streams", "No.", retry_after_seconds=1.0))
    gevent.joinall(waiting, timeout=2, raise_error=True)
    assert work.refusals == [error]
    assert [(told.code, told.retry_after_seconds) for told in refusals] == [("too_many_streams", 1.0)] * 3
    assert len({id(told) for told in refusals}) == 3, "each its own traceback"
    assert scene.store.find(kept.subject.id) is None


def test_a_defect_while_opening_is_told_reported_and_accounted_for(scene: Scene) -> None:
    kept, work = scene.begin()
    work.opened.set_exception(RuntimeError("opening"))
    with pytest.raises(RelayError, match="The relay failed"):
        scene.streams.wait_for_head(kept)
    assert [error.code for error in work.refusals] == ["internal_error"]
    assert scene.reported == ["RuntimeError('opening')"]
    assert scene.streams.producing == {}


def test_work_that_cannot_be_accounted_for_leaves_nobody_waiting(scene: Scene) -> None:
    class Unaccountable(Work):
        def refused(self, error: RelayError) -> None:
            raise RuntimeError("accounting")

    kept, work = scene.begin(Unaccountable())
    work.opened.set_exception(RelayError("overloaded", "No."))
    with pytest.raises(RelayError, match="No"):
        scene.streams.wait_for_head(kept)
    assert scene.reported == ["RuntimeError('accounting')"]


def test_a_defect_before_the_pump_has_it_gives_everything_back(scene: Scene) -> None:
    class Headless(Work):
        def head_of(self, upstream: object) -> None:  # type: ignore[override]
            raise RuntimeError("head")

    kept, work = scene.begin(Headless())
    work.opened.set(exchange := Exchange())
    with pytest.raises(RelayError, match="The relay failed"):
        scene.streams.wait_for_head(kept)
    assert (exchange.closed, scene.reported) == (1, ["RuntimeError('head')"])


def test_a_killed_production_ends_its_stream(scene: Scene) -> None:
    kept, stream, exchange = scene.live()
    stream.ending.set_exception(gevent.GreenletExit())
    until(lambda: kept.outcome)
    assert (kept.status, exchange.closed > 0) == ("failed", True)


# Cancelled at every moment.


def assert_cancelled(kept: Kept) -> None:
    until(lambda: kept.outcome)
    assert (kept.status, kept.outcome and kept.outcome.error) == ("cancelled", "cancelled")
    assert kept.log.last_seq == 1


def test_cancelled_while_it_flows_it_is_cut(scene: Scene) -> None:
    kept, stream, _ = scene.live()
    scene.streams.cancel(kept)
    assert_cancelled(kept)
    assert stream.cuts == [("cancelled", "cancelled")]


@pytest.mark.parametrize("end", ["cancelled", "client_gone"])
def test_cancelled_while_the_upstream_is_awaited_it_holds_the_reason_alone(scene: Scene, end: str) -> None:
    kept, work = scene.begin()
    scene.streams.cancel(kept, end)
    assert_cancelled(kept)
    assert b'"code":"cancelled"' in log_of(kept)
    assert log_of(kept).startswith(f"id: {kept.subject.id}:1\ndata: ".encode())
    assert [type(error) for error in work.refusals] == [Abandoned if end == "client_gone" else RelayError]
    assert scene.pump.waiting == set()


@pytest.mark.parametrize("step", ["before it began", "in an earlier room", "behind the wait"])
def test_a_cancel_is_never_too_early(scene: Scene, step: str) -> None:
    class Slow(Work):
        def open(self, presence: object, stream_id: str) -> object:
            opened = super().open(presence, stream_id)
            gevent.sleep(0.02) if step == "behind the wait" else None
            return opened

    work = Slow()
    work.before = lambda: gevent.sleep(0.02 if step == "in an earlier room" else 0)
    if step == "behind the wait":
        work.opened.set(Exchange())
    kept, _ = scene.streams.claim(scene.subject(), None)
    scene.streams.begin(kept, work)
    if step != "before it began":
        gevent.sleep(0.01)
    scene.streams.cancel(kept)
    assert_cancelled(kept)


def test_cancelled_where_no_stream_was_asked_for_it_is_refused(scene: Scene) -> None:
    kept, _ = scene.begin(Work(head=None))
    scene.streams.cancel(kept)
    with pytest.raises(RelayError, match="cancelled") as caught:
        scene.streams.wait_for_head(kept)
    assert caught.value.kind.status == 499
    assert scene.store.find(kept.subject.id) is None


def test_cancelling_again_or_too_late_changes_nothing(scene: Scene) -> None:
    kept, stream, _ = scene.live()
    for _ in range(3):
        scene.streams.cancel(kept)
    assert_cancelled(kept)
    scene.streams.cancel(kept)
    assert kept.log.last_seq == 1
    done, stream, _ = scene.live()
    stream.ending.set(Ending("done", FRAME, whole=True))
    until(lambda: done.outcome)
    scene.streams.cancel(done)
    assert (done.status, done.log.last_seq) == ("done", 1)


@pytest.mark.parametrize("reason", ["draining", "invalid_api_key"])
def test_drained_or_revoked_while_opening_it_is_refused_for_that(scene: Scene, reason: str) -> None:
    kept, work = scene.begin()
    [presence] = scene.pump.waiting
    presence.interrupt_soon(RelayError(reason, "Why."))
    with pytest.raises(RelayError) as caught:
        scene.streams.wait_for_head(kept)
    assert (caught.value.code, [error.code for error in work.refusals]) == (reason, [reason])


@pytest.mark.parametrize(
    ("ending", "status", "error"),
    [
        (Ending("done", whole=True), "done", None),
        (Ending("cancelled", code="cancelled"), "cancelled", "cancelled"),
        (Ending("client_gone", code="cancelled"), "cancelled", "cancelled"),
        (Ending("upstream_eof", code="upstream_incomplete"), "failed", "upstream_incomplete"),
        (Ending("drained"), "failed", "drained"),
    ],
    ids=lambda value: value.end if isinstance(value, Ending) else value,
)
def test_what_is_told_later_of_its_end(ending: Ending, status: str, error: str | None) -> None:
    outcome = outcome_of(ending, Flow())
    assert (outcome.status, outcome.whole, outcome.error, outcome.usage) == (status, ending.whole, error, Usage(1, 2))
