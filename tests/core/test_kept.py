"""A kept stream: who waits is told once, who reads is woken and loses nothing, and what nobody needs may go."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.kept import Kept, Outcome
from tests.core.keeping import (
    DONE,
    HEAD,
    PIECE,
    PIECE_COST,
    REFUSED,
    EagerReader,
    Reader,
    append,
    joined,
    kept_with,
    told,
)


def test_its_status_is_what_became_of_it() -> None:
    kept = kept_with()
    statuses = [kept.status]
    kept.open(HEAD)
    statuses.append(kept.status)
    kept.end(Outcome("failed", whole=False, error="upstream_incomplete"))
    assert [*statuses, kept.status] == ["opening", "live", "failed"]


@pytest.mark.parametrize(
    "tell",
    [lambda kept: kept.open(HEAD), lambda kept: kept.refuse(REFUSED), lambda kept: kept.end(DONE)],
    ids=["opened", "refused", "ended"],
)
def test_who_waits_for_its_head_is_told_once(tell: Callable[[Kept], None]) -> None:
    kept, calls = kept_with(), list[str]()
    kept.on_head += [lambda: calls.append("one"), lambda: calls.append("two")]
    tell(kept)
    kept.end(DONE)
    assert calls == ["one", "two"]


def test_its_keeper_is_told_of_everything() -> None:
    kept = kept_with()
    kept.open(HEAD)
    append(kept, 2)
    kept.end(DONE)
    assert told(kept) == ["opened", "appended 1", "appended 2", "ended done"]
    refused = kept_with()
    refused.refuse(REFUSED)
    assert (told(refused), refused.refusal) == (["ended opening"], REFUSED)


def test_a_reader_is_woken_by_frames_and_by_the_end_until_it_leaves() -> None:
    kept = kept_with()
    reader, other = joined(kept), joined(kept)
    append(kept)
    kept.leave(other)
    append(kept)
    kept.end(DONE)
    assert (reader.woken, other.woken) == (3, 1)


def test_a_reader_may_leave_while_all_are_woken() -> None:
    class Leaving(Reader):
        def advance(self) -> None:
            super().advance()
            self.kept.leave(self)

    kept = kept_with()
    readers = [joined(kept, Leaving) for _ in range(3)]
    append(kept, 2)
    assert [reader.woken for reader in readers] == [1, 1, 1]


def test_it_is_attended_while_somebody_reads_or_waits() -> None:
    kept = kept_with()
    assert not kept.is_attended
    reader = joined(kept)
    assert kept.is_attended
    kept.leave(reader)
    assert not kept.is_attended
    kept.waiting += 1
    assert kept.is_attended


def test_without_a_reader_the_oldest_goes() -> None:
    kept = kept_with(4)
    append(kept, 6)
    assert (kept.log.evicted_seq, kept.is_full) == (2, False)


def test_with_readers_that_follow_the_oldest_goes_too() -> None:
    kept = kept_with(4)
    readers = [joined(kept, EagerReader) for _ in range(3)]
    append(kept, 9)
    assert kept.log.evicted_seq == 5
    assert len({reader.got for reader in readers}) == 1
    assert len(readers[0].got) == 9 * PIECE


def test_what_the_slowest_reader_needs_stays_and_the_stream_is_full() -> None:
    kept = kept_with(4)
    slow, _ = joined(kept, cursor=1), joined(kept, EagerReader)
    append(kept, 4)
    assert (kept.log.evicted_seq, kept.is_full) == (0, False)
    append(kept)
    assert (kept.log.evicted_seq, kept.is_full) == (1, False)  # the first it has
    append(kept)
    assert (kept.log.evicted_seq, kept.is_full) == (1, True)
    slow.take()
    assert (kept.log.evicted_seq, kept.is_full) == (2, False)


def test_room_is_told_when_the_slowest_took_enough_and_not_before() -> None:
    kept, rooms = kept_with(2), list[bool]()
    slow = joined(kept)
    append(kept, 5)
    kept.room = lambda: rooms.append(kept.is_full)
    taken = 0
    while not rooms:
        assert kept.is_full
        slow.take()
        taken += 1
    assert (taken, rooms) == (3, [False])


def test_room_is_told_when_the_slowest_leaves() -> None:
    kept, rooms = kept_with(2), list[str]()
    slow, other = joined(kept), joined(kept, EagerReader)
    append(kept, 5)
    kept.room = lambda: rooms.append("room")
    kept.leave(other)
    assert rooms == []
    kept.leave(slow)
    assert rooms == ["room"]


@given(st.lists(st.sampled_from(["append", "take 0", "take 1", "join", "leave 0", "leave 1"]), max_size=60))
def test_a_reader_never_misses_what_comes_behind_its_place(steps: list[str]) -> None:
    kept = kept_with(3)
    readers: list[Reader] = []
    starts: list[int] = []
    for step in steps:
        verb, _, index = step.partition(" ")
        if verb == "append" and not kept.is_full:  # a producer waits while it is full
            append(kept)
        elif verb == "join" and len(readers) < 2:
            starts.append(kept.log.evicted_seq)
            readers.append(joined(kept, cursor=kept.log.evicted_seq))
        elif verb == "leave" and int(index) < len(readers):
            kept.leave(readers.pop(int(index)))
            starts.pop(int(index))
        elif verb == "take" and int(index) < len(readers):
            readers[int(index)].take()
        for reader, start in zip(readers, starts, strict=True):
            assert reader.got == b"".join(b"%0*d" % (PIECE, seq) for seq in range(start + 1, reader.cursor + 1))
        assert kept.log.bytes <= (3 + 1) * PIECE_COST
