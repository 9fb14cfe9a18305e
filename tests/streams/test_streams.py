"""The streams of one worker: one for each claim, made whoever reads, given up in time, found by their owners."""

import time

import gevent
import pytest

from relay.core.errors import RelayError
from relay.core.flow import Ending
from relay.core.kept import Head, Kept, Summary
from relay.streams.streams import as_facts
from tests.streams.scene import FRAME, HEAD, KEY, Exchange, Scene, Work, until

REFUSED = Head(429, (), is_stream=False)
PIECES = [b"a", b"bc", b"def"]


def refusal(scene: Scene, stream_id: str, owner: str | None) -> tuple[str, str]:
    with pytest.raises(RelayError) as caught:
        scene.streams.find(stream_id, owner)
    return caught.value.code, caught.value.message


def test_one_claim_has_one_stream(scene: Scene) -> None:
    kept, is_new = scene.streams.claim(scene.subject(), "claim")
    assert is_new
    assert scene.streams.claim(scene.subject(), "claim") == (kept, False)
    assert scene.streams.claim(scene.subject(), "other")[1]
    assert scene.streams.claim(scene.subject(), None)[1]
    assert scene.streams.claim(scene.subject(), None)[1]


def test_a_claim_is_about_one_request(scene: Scene) -> None:
    scene.streams.claim(scene.subject(fingerprint="a"), "claim")
    with pytest.raises(RelayError) as caught:
        scene.streams.claim(scene.subject(fingerprint="b"), "claim")
    assert caught.value.code == "idempotency_mismatch"


def test_somebody_elses_stream_is_as_unknown_as_one_that_never_was(scene: Scene) -> None:
    kept, _ = scene.begin()
    assert scene.streams.find(kept.subject.id, KEY) is scene.streams.find(kept.subject.id, None) is kept
    assert refusal(scene, kept.subject.id, "key_other") == refusal(scene, "rs_none", KEY) == refusal(scene, "", None)
    scene.streams.cancel(kept)
    until(lambda: kept.outcome)


def test_an_owner_sees_its_own(scene: Scene) -> None:
    mine, _, _ = scene.live()
    scene.streams.claim(scene.subject("key_other"), None)
    assert [summary.id for summary in scene.streams.of_owner(KEY)] == [mine.subject.id]


def test_a_refused_claim_may_be_made_anew_at_once(scene: Scene) -> None:
    kept, work = scene.begin(claim="claim")
    work.opened.set_exception(RelayError("too_many_streams", "No."))
    with pytest.raises(RelayError):
        scene.streams.wait_for_head(kept)
    assert scene.streams.claim(scene.subject(), "claim")[1]


def test_an_upstreams_error_is_shared_while_it_comes_and_asked_anew_afterwards(scene: Scene) -> None:
    kept, work = scene.begin(claim="claim")
    work.opened.set(Exchange(REFUSED))
    until(lambda: kept.head)
    assert scene.streams.claim(scene.subject(), "claim") == (kept, False)
    scene.pump.streams[-1].ending.set(Ending("done", b"{}", whole=True))
    until(lambda: not scene.streams.producing)
    assert scene.streams.claim(scene.subject(), "claim")[1]


def test_an_answer_that_broke_half_way_stays_as_it_broke(scene: Scene) -> None:
    kept, stream, _ = scene.live(claim="claim")
    stream.ending.set(Ending("reset", FRAME, code="upstream_disconnected"))
    until(lambda: not scene.streams.producing)
    assert scene.streams.claim(scene.subject(), "claim") == (kept, False)


# Without a reader.


def look_for(scene: Scene, seconds: float) -> None:
    until_at = time.monotonic() + seconds
    while time.monotonic() < until_at:
        scene.streams.look()
        gevent.sleep(0.01)


def test_what_nobody_reads_is_given_up_in_time_and_not_before(scene: Scene) -> None:
    kept, stream, _ = scene.live()
    look_for(scene, 0.1)
    assert stream.cuts == []
    look_for(scene, 0.2)
    assert stream.cuts[0] == ("client_gone", "cancelled")
    until(lambda: kept.outcome)
    assert kept.status == "cancelled"


@pytest.mark.parametrize("attend", ["reads", "waits"])
def test_whoever_attends_keeps_it_alive_and_its_time_begins_anew(scene: Scene, attend: str) -> None:
    class Reader:
        cursor = 0

        def advance(self) -> None: ...

    kept, stream, _ = scene.live()
    look_for(scene, 0.12)
    reader = Reader()
    if attend == "reads":
        kept.join(reader)
        look_for(scene, 0.3)
        kept.leave(reader)
    else:
        with scene.streams.waiting(kept):
            look_for(scene, 0.3)
    look_for(scene, 0.12)
    assert stream.cuts == []
    look_for(scene, 0.15)
    assert stream.cuts


def test_what_is_to_be_finished_is_never_given_up(scene: Scene) -> None:
    kept, stream, _ = scene.live(Work(detach="finish"))
    look_for(scene, 0.35)
    assert (stream.cuts, kept.outcome) == ([], None)


def test_what_nobody_waits_for_while_it_opens_is_given_up_too(scene: Scene) -> None:
    kept, work = scene.begin()
    look_for(scene, 0.3)
    until(lambda: kept.outcome)
    assert (kept.status, [error.code for error in work.refusals]) == ("cancelled", ["client_gone"])


def test_what_is_followed_elsewhere_is_not_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stream, _ = scene.live()
    monkeypatch.setattr(scene.store, "followed_elsewhere", lambda all_kept: {kept.subject.id for kept in all_kept})
    look_for(scene, 0.35)
    assert stream.cuts == []


# Waiting for a head, and for a body.


def test_who_waits_for_a_head_wakes_with_it(scene: Scene) -> None:
    kept, work = scene.begin()
    waiting = [gevent.spawn(scene.streams.wait_for_head, kept) for _ in range(3)]
    gevent.sleep(0.01)
    assert (kept.waiting, any(one.ready() for one in waiting)) == (3, False)
    work.opened.set(Exchange())
    gevent.joinall(waiting, timeout=1, raise_error=True)
    assert (kept.head, kept.waiting) == (HEAD, 0)
    scene.streams.wait_for_head(kept)


def test_who_stops_waiting_is_not_counted(scene: Scene) -> None:
    kept, _ = scene.begin()
    waiting = gevent.spawn(scene.streams.wait_for_head, kept)
    gevent.sleep(0)
    waiting.kill()
    assert not kept.is_attended
    scene.streams.cancel(kept)
    until(lambda: kept.outcome)


def grow(kept: Kept, pieces: list[bytes]) -> None:
    for piece in pieces:
        kept.append(piece, kept.log.last_seq + 1)


def test_a_body_is_collected_as_it_comes(scene: Scene) -> None:
    kept, stream, _ = scene.live()
    grow(kept, PIECES[:1])
    collecting = gevent.spawn(scene.streams.collect, kept, 100)
    gevent.sleep(0.01)
    grow(kept, PIECES[1:])
    assert not collecting.ready()
    stream.ending.set(Ending("done", whole=True))
    assert collecting.get(timeout=1) == b"abcdef"
    assert not kept.readers


@pytest.mark.parametrize("bytes_max", [0, 2, 6])
def test_no_more_of_a_body_is_collected_than_is_wanted(scene: Scene, bytes_max: int) -> None:
    kept, stream, _ = scene.live()
    grow(kept, PIECES)
    stream.ending.set(Ending("done", whole=True))
    assert scene.streams.collect(kept, bytes_max) == b"abcdef"[:bytes_max]


def test_pieces_are_those_behind_a_place_and_who_stops_reads_no_more(scene: Scene) -> None:
    kept, _, _ = scene.live()
    grow(kept, PIECES)
    pieces = scene.streams.pieces(kept, 1)
    assert next(pieces) == b"bcdef"
    assert len(kept.readers) == 1
    pieces.close()  # type: ignore[attr-defined]
    assert not kept.readers


def test_what_is_forgotten_is_cancelled_and_found_no_more(scene: Scene) -> None:
    kept, stream, _ = scene.live(claim="claim")
    scene.streams.forget(kept)
    assert refusal(scene, kept.subject.id, KEY)[0] == "stream_not_found"
    assert scene.streams.of_owner(KEY) == []
    until(lambda: kept.outcome)
    assert stream.cuts == [("cancelled", "cancelled")]
    assert scene.store.tally.bytes == 0
    assert scene.streams.claim(scene.subject(), "claim")[1]


def test_when_it_expires_is_known_once_it_has_ended(scene: Scene) -> None:
    kept, stream, _ = scene.live()
    assert scene.streams.expires_at(kept) is None
    stream.ending.set(Ending("done", whole=True))
    until(lambda: kept.outcome)
    expires_at = scene.streams.expires_at(kept)
    assert expires_at is not None
    assert abs(expires_at - time.time() - 600) < 5


def test_a_stream_in_a_list() -> None:
    summary = Summary("rs_1", KEY, "/v1/chat/completions", "gpt-test", "live", 100.0, 7, None)
    facts = {"id": "rs_1", "model": "gpt-test", "status": "live", "age_seconds": 2.5, "frames": 7, "expires_at": None}
    assert as_facts(summary, 102.5) == facts
    assert as_facts(summary, 99.0)["age_seconds"] == 0
