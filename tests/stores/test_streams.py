"""Streams that are kept: the same promises in the memory of one process and through Redis."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from relay.core.errors import RelayError
from relay.core.kept import Kept
from relay.stores.streams import Keeping, MemoryStreams
from tests.stores.stream_processes import (
    DONE,
    KEEPING,
    STREAM,
    Clock,
    Process,
    Reader,
    count,
    expected,
    frame,
    new_subject,
    settle,
    whole,
)


class Twin:
    """`settle`: let what is under way arrive."""

    def __init__(self, store: Any, clock: Clock, settle: Callable[[], None]) -> None:
        self.store, self.clock, self.settle = store, clock, settle

    def live(self, claim: str | None = None, frames: int = 0, **about: str) -> Kept:
        kept, is_new = self.store.claim(new_subject(**about), claim)
        assert is_new
        kept.open(STREAM)
        count(kept, frames)
        self.settle()
        return kept


@pytest.fixture(params=["memory", "redis"])
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    clock = Clock()
    if request.param == "memory":
        yield Twin(MemoryStreams(KEEPING, clock), clock, lambda: None)
        return
    process = Process(request.getfixturevalue("redis").url, clock)
    yield Twin(process.streams, clock, lambda: settle(process))
    process.close()


def test_a_stream_is_found_by_its_name_with_all_its_frames(twin: Twin) -> None:
    kept = twin.live(frames=20)
    assert twin.store.find(kept.subject.id) is kept
    assert whole(kept) == expected(kept, 0, 20)
    assert whole(kept, 7) == expected(kept, 7, 20)
    assert (kept.is_ours, kept.status) == (True, "live")


def test_an_unknown_name_finds_nothing(twin: Twin) -> None:
    assert twin.store.find(new_subject().id) is None
    assert twin.store.claimed("nothing") is None


def test_a_claim_names_the_first_stream_that_was_claimed_with_it(twin: Twin) -> None:
    kept = twin.live("c")
    again, is_new = twin.store.claim(new_subject(), "c")
    assert (again is kept, is_new) == (True, False)
    assert twin.store.claimed("c") is kept
    assert len(twin.store.all()) == 1


def test_a_claim_names_a_stream_that_has_not_begun_and_one_that_has_ended(twin: Twin) -> None:
    kept, _ = twin.store.claim(new_subject(), "c")
    assert twin.store.claim(new_subject(), "c") == (kept, False)
    kept.open(STREAM)
    kept.end(DONE)
    twin.settle()
    assert twin.store.claim(new_subject(), "c") == (kept, False)


def test_streams_without_a_claim_and_with_different_ones_are_different(twin: Twin) -> None:
    found = [twin.store.claim(new_subject(), claim) for claim in (None, None, "a", "b")]
    assert [is_new for _, is_new in found] == [True] * 4
    assert len({kept.subject.id for kept, _ in found}) == 4


def test_another_request_under_the_same_claim_is_a_mismatch_and_leaves_nothing_behind(twin: Twin) -> None:
    twin.live("c", fingerprint="one")
    other = new_subject(fingerprint="other")
    with pytest.raises(RelayError) as refused:
        twin.store.claim(other, "c")
    assert refused.value.code == "idempotency_mismatch"
    assert twin.store.find(other.id) is None
    assert len(twin.store.of_owner(other.owner)) == 1


def test_a_claim_that_was_given_up_can_be_made_anew_and_the_stream_stays(twin: Twin) -> None:
    kept = twin.live("c")
    twin.store.unclaim(kept)
    twin.settle()
    other, is_new = twin.store.claim(new_subject(), "c")
    assert is_new
    assert twin.store.find(kept.subject.id) is kept
    twin.store.unclaim(kept)
    twin.settle()
    assert twin.store.claim(new_subject(), "c") == (other, False)


def test_what_was_removed_is_unknown_and_its_claim_is_free(twin: Twin) -> None:
    kept = twin.live("c", frames=3)
    twin.store.remove(kept)
    assert twin.store.find(kept.subject.id) is None
    assert twin.store.of_owner(kept.subject.owner) == twin.store.all() == []
    assert twin.store.claim(new_subject(), "c")[1]


def test_removing_once_more_does_no_harm(twin: Twin) -> None:
    kept = twin.live("c")
    twin.store.remove(kept)
    other = twin.live("c")
    twin.store.remove(kept)
    twin.settle()
    assert twin.store.claimed("c") is other


def test_a_refused_stream_leaves_its_claim_free(twin: Twin) -> None:
    kept, _ = twin.store.claim(new_subject(), "c")
    kept.refuse(RelayError("overloaded", "Too much."))
    twin.store.remove(kept)
    assert twin.store.claim(new_subject(), "c")[1]


def test_an_owner_sees_its_own_streams_and_all_are_seen_together(twin: Twin) -> None:
    mine = [twin.live(owner="a", frames=frames) for frames in (0, 3)]
    other = twin.live(owner="b")
    waiting, _ = twin.store.claim(new_subject(owner="a"), None)
    twin.settle()
    summaries = twin.store.of_owner("a")
    assert {each.id for each in summaries} == {kept.subject.id for kept in (*mine, waiting)}
    assert {(each.status, each.frames, each.expires_at) for each in summaries} == {
        ("live", 0, None), ("live", 3, None), ("opening", 0, None)
    }  # fmt: skip
    assert {each.id for each in twin.store.of_owner("b")} == {other.subject.id}
    assert len(twin.store.all()) == 4
    assert twin.store.of_owner("nobody") == []


def test_the_newest_is_listed_last(twin: Twin) -> None:
    subjects = [replace(new_subject(), created_at=1_000_000.0 + number) for number in range(5)]
    for subject in subjects:
        twin.store.claim(subject, None)
    twin.settle()
    assert [each.id for each in twin.store.of_owner("key_a")] == [subject.id for subject in subjects]


def test_a_stream_that_ended_says_until_when_it_is_kept(twin: Twin) -> None:
    kept = twin.live()
    assert twin.store.expires_at(kept) is None
    kept.end(DONE)
    twin.settle()
    expires_at = twin.store.expires_at(kept)
    assert expires_at == pytest.approx(time.time() + KEEPING.keep_seconds, abs=5)
    [summary] = twin.store.all()
    assert (summary.status, summary.expires_at) == ("done", pytest.approx(expires_at, abs=5))


def test_its_memory_is_given_back_when_its_time_is_over(twin: Twin) -> None:
    kept = twin.live(frames=10)
    kept.end(DONE)
    twin.settle()
    twin.clock.now += KEEPING.keep_seconds - 1
    twin.store.tend()
    assert kept.log.bytes > 0
    twin.clock.now += 2
    twin.store.tend()
    assert kept.log.bytes == 0


def test_a_stream_that_is_being_made_is_never_too_old(twin: Twin) -> None:
    kept = twin.live(frames=10)
    twin.clock.now += 10 * KEEPING.keep_seconds
    twin.store.tend()
    assert twin.store.find(kept.subject.id) is kept
    assert whole(kept) == expected(kept, 0, 10)


def test_all_streams_together_keep_within_their_bound_and_the_oldest_that_ended_gives_way(twin: Twin) -> None:
    twin.store.keeping = Keeping(600, 100_000, 100_000)
    first, second = twin.live(), twin.live()
    for kept in (first, second):
        kept.append(b"data: " + b"x" * 40_000 + b"\n\n", 1)
        kept.end(DONE)
    third = twin.live()
    third.append(b"data: " + b"x" * 40_000 + b"\n\n", 1)
    assert (first.log.bytes, second.log.bytes > 0, third.log.bytes > 0) == (0, True, True)


def test_where_live_streams_fill_the_memory_no_other_begins(twin: Twin) -> None:
    twin.store.keeping = Keeping(600, 100_000, 50_000)
    kept = twin.live()
    kept.append(b"data: " + b"x" * 60_000 + b"\n\n", 1)
    with pytest.raises(RelayError) as refused:
        twin.store.claim(new_subject(), "c")
    assert refused.value.code == "overloaded"


def test_a_stream_keeps_its_newest_frames_and_what_a_reader_needs(twin: Twin) -> None:
    kept = twin.live()
    reader = Reader()
    kept.join(reader)
    for seq in range(1, 31):
        kept.append(frame(kept, seq)[:-2] + b"x" * 10_000 + b"\n\n", seq)
    assert kept.log.evicted_seq == 0
    kept.leave(reader)
    assert 0 < kept.log.evicted_seq < 30
    assert kept.log.bytes <= KEEPING.stream_bytes_max


def test_nobody_else_follows_where_there_is_nobody_else(twin: Twin) -> None:
    kept = twin.live()
    assert twin.store.followed_elsewhere([kept]) == set()
    twin.store.ask_to_cancel(kept)
