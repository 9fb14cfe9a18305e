"""What a copy knows that Redis is still to be told, step by step, without a Redis."""

from relay.core.frame_log import FrameLog, Tally
from relay.core.kept import Kept
from relay.stores.stream_copy import PIECE_BYTES_MAX, Copy, Scripts
from relay.stores.stream_record import Record, read_piece
from relay.stores.streams import MemoryStreams
from tests.stores.stream_processes import DONE, JSON, KEEPING, STREAM, count, expected, frame, new_subject

SCRIPTS = Scripts()


class Marks(list[Copy]):
    """What was marked."""


def new_copy(claim: str | None = None) -> tuple[Copy, Kept, Marks]:
    marks, memory = Marks(), MemoryStreams(KEEPING)
    kept = Kept(new_subject(), 100_000, memory, FrameLog(Tally()))
    copy = Copy(kept, claim, memory, marks.append)
    kept.keeper = copy
    return copy, kept, marks


def entered() -> tuple[Copy, Kept]:
    """A copy of an open stream, of which Redis knows the head."""
    copy, kept, _ = new_copy()
    kept.open(STREAM)
    for _, take in copy.beginning(SCRIPTS, "p", 1):
        take(None if not copy.is_entered else 1)
    return copy, kept


def test_everything_that_happens_leaves_a_mark() -> None:
    copy, kept, marks = new_copy()
    kept.open(STREAM)
    kept.append(frame(kept, 1), 1)
    kept.end(DONE)
    assert marks == [copy] * 3


def test_a_new_stream_is_entered_then_its_head_is_told_and_neither_twice() -> None:
    copy, kept, _ = new_copy("c")
    assert (copy.is_behind, copy.entered.is_set()) == (True, False)
    assert len(list(copy.beginning(SCRIPTS, "p", 1))) == 1
    kept.open(STREAM)
    (claiming, took_entry), (telling, took_head) = copy.beginning(SCRIPTS, "p", 1)
    assert (claiming[1], telling[1], b"relay:claim:c" in [str(word).encode() for word in claiming]) == (
        SCRIPTS.claim, SCRIPTS.tell, True
    )  # fmt: skip
    took_entry(None)
    took_head(1)
    assert (list(copy.beginning(SCRIPTS, "p", 1)), copy.entered.is_set(), copy.is_behind) == ([], True, False)


def test_frames_are_told_from_where_redis_stands() -> None:
    copy, kept = entered()
    count(kept, 5)
    assert copy.next_piece() == (5, b"0 5\n" + expected(kept, 0, 5))
    copy.took_piece(5, 1)
    assert copy.next_piece() is None
    count(kept, 2)
    found = copy.next_piece()
    assert found is not None
    assert read_piece(found[1]) == (5, 7, expected(kept, 5, 7))


def test_no_piece_is_longer_than_its_bound_unless_a_frame_is() -> None:
    copy, kept = entered()
    for seq in range(1, 10):
        kept.append(b"data: " + b"x" * 10_000 + b"\n\n", seq)
    found = copy.next_piece()
    assert found is not None
    assert len(found[1]) <= PIECE_BYTES_MAX < len(found[1]) + 10_010


def test_a_body_that_is_no_event_stream_keeps_its_pieces() -> None:
    copy, kept, _ = new_copy()
    kept.open(JSON)
    kept.append(b"{", 1)
    kept.append(b"}", 2)
    assert copy.next_piece() == (1, b"0 1\n{")


def test_the_end_waits_for_the_last_frame() -> None:
    copy, kept = entered()
    count(kept, 5)
    kept.end(DONE)
    assert list(copy.ending(SCRIPTS, 4, 1)) == []
    [(_, took_end)] = copy.ending(SCRIPTS, 5, 1)
    copy.took_piece(5, 1)
    took_end(1)
    assert (list(copy.ending(SCRIPTS, 5, 1)), copy.is_behind) == ([], False)


def test_what_redis_has_forgotten_is_told_from_the_beginning() -> None:
    copy, kept = entered()
    count(kept, 5)
    copy.took_piece(5, 1)
    copy.took_piece(5, 0)
    assert (len(list(copy.beginning(SCRIPTS, "p", 1))), copy.next_piece()) == (2, (5, b"0 5\n" + expected(kept, 0, 5)))


def test_what_has_ended_there_is_told_no_more() -> None:
    copy, kept = entered()
    copy.took_piece(1, -1)
    count(kept, 5)
    assert (copy.is_over, copy.is_behind) == (True, False)


def test_after_a_pause_it_goes_on_from_what_redis_knows() -> None:
    copy, kept = entered()
    count(kept, 5)
    known = Record(kept.subject, "p", STREAM, None, None, 3, None)
    copy.stands(known)
    assert copy.next_piece() == (5, b"3 5\n" + expected(kept, 3, 5))
    copy.stands(None)
    assert (copy.is_entered, copy.written_seq) == (False, 0)


def test_an_end_that_others_told_is_final_and_one_of_our_own_is_not_told_again() -> None:
    copy, kept = entered()
    ended = Record(kept.subject, "p", STREAM, DONE, None, 0, 1.0)
    copy.stands(ended)
    assert copy.is_over
    copy, kept = entered()
    kept.end(DONE)
    copy.stands(ended)
    assert (copy.is_over, copy.is_behind) == (False, False)


def test_a_claim_that_is_another_streams_is_dropped() -> None:
    copy, _, _ = new_copy("c")
    copy.took_entry([b"rs_other", b"f"])
    assert (copy.claim, copy.is_entered) == (None, False)
