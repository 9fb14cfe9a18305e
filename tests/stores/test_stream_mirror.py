"""One mirror: pieces that come in order, twice, too early or too late make one log without gap or double."""

import pytest

from relay.core.errors import RelayError
from relay.core.frame_log import Tally
from relay.core.kept import Outcome
from relay.stores.stream_mirror import CANCELLED, NEVER_OPENED, RESTARTED, Mirror, error_frame
from relay.stores.stream_record import Record, piece
from relay.stores.streams import MemoryStreams
from tests.stores.stream_processes import DONE, JSON, KEEPING, STREAM, Reader, expected, new_subject, whole


class Behind(list[Mirror]):
    """Those that missed something."""


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def mirror(behind: Behind) -> Mirror:
    """Open, with frames 1 to 3."""
    made = Mirror(record(), 1_000, Tally(), MemoryStreams(KEEPING), behind.append)
    made.take(record(last_seq=3), [raw(made, 0, 3)])
    return made


def record(outcome: Outcome | None = None, last_seq: int = 0, route: str = "/v1/chat/completions") -> Record:
    return Record(new_subject(route=route), "p", STREAM, outcome, None, last_seq, None)


def raw(mirror: Mirror, before: int, last: int) -> bytes:
    return piece(before, last, expected(mirror.kept, before, last))


def test_pieces_in_order_are_heard_at_once(mirror: Mirror, behind: Behind) -> None:
    reader = Reader(3)
    mirror.kept.join(reader)
    mirror.hear(raw(mirror, 3, 4))
    mirror.hear(raw(mirror, 4, 6))
    assert (whole(mirror.kept), reader.woken, behind) == (expected(mirror.kept, 0, 6), 2, [])


@pytest.mark.parametrize("numbers", [(0, 3), (1, 2), (0, 4), (2, 5), (3, 4)])
def test_what_is_known_is_cut_off(mirror: Mirror, behind: Behind, numbers: tuple[int, int]) -> None:
    mirror.hear(raw(mirror, *numbers))
    assert whole(mirror.kept) == expected(mirror.kept, 0, max(3, numbers[1]))
    assert behind == []


def test_a_piece_behind_a_gap_waits_for_what_is_missing(mirror: Mirror, behind: Behind) -> None:
    mirror.hear(raw(mirror, 4, 5))
    assert (mirror.kept.log.last_seq, behind) == (3, [mirror])
    mirror.take(record(last_seq=5), [raw(mirror, 3, 4), raw(mirror, 4, 5)])
    assert whole(mirror.kept) == expected(mirror.kept, 0, 5)


def test_frames_before_the_head_wait_for_it(behind: Behind) -> None:
    mirror = Mirror(record(), 1_000, Tally(), MemoryStreams(KEEPING), behind.append)
    mirror.hear(raw(mirror, 0, 1))
    assert (mirror.kept.log.last_seq, behind) == (0, [mirror])


def test_what_redis_does_not_keep_any_more_is_skipped_and_told_as_evicted(mirror: Mirror) -> None:
    mirror.take(record(last_seq=9), [raw(mirror, 7, 9)])
    assert (mirror.kept.log.evicted_seq, whole(mirror.kept, 7)) == (7, expected(mirror.kept, 7, 9))


def test_it_ends_only_when_all_frames_are_there(mirror: Mirror) -> None:
    mirror.take(record(DONE, last_seq=5), [raw(mirror, 3, 4)])
    assert mirror.kept.outcome is None
    mirror.take(record(DONE, last_seq=5), [raw(mirror, 4, 5)])
    assert mirror.kept.outcome == DONE


def test_what_is_fetched_twice_is_kept_once(mirror: Mirror) -> None:
    mirror.take(record(last_seq=3), [raw(mirror, 0, 3)])
    assert list(mirror.kept.log.pieces()) == [(expected(mirror.kept, 0, 3), 3)]


def test_after_its_end_nothing_is_taken(mirror: Mirror) -> None:
    mirror.take(record(DONE, last_seq=3), [])
    mirror.hear(raw(mirror, 3, 4))
    mirror.end_alone(RESTARTED)
    assert (mirror.kept.log.last_seq, mirror.kept.outcome) == (3, DONE)


def test_while_it_is_full_it_asks_for_more_when_there_is_room(mirror: Mirror, behind: Behind) -> None:
    reader = Reader()
    mirror.kept.join(reader)
    seq = 3
    while not mirror.kept.is_full:
        mirror.hear(raw(mirror, seq, seq + 1))
        seq += 1
    mirror.hear(raw(mirror, seq, seq + 1))
    mirror.take(record(last_seq=seq + 1), [raw(mirror, seq, seq + 1)])
    assert (mirror.kept.log.last_seq, behind) == (seq, [])
    reader.cursor = seq
    mirror.kept.taken()
    assert (behind, mirror.kept.room) == ([mirror], None)


@pytest.mark.parametrize("outcome", [RESTARTED, CANCELLED])
def test_ended_alone_it_says_why_in_its_last_frame(mirror: Mirror, outcome: Outcome) -> None:
    mirror.end_alone(outcome)
    assert mirror.kept.outcome is outcome
    last = whole(mirror.kept, 3)
    assert last.startswith(b"id: %b:4\ndata: " % mirror.kept.subject.id.encode())
    assert str(outcome.error).encode() in last


def test_ended_alone_before_its_head_it_is_refused_so_that_one_may_ask_again(behind: Behind) -> None:
    mirror = Mirror(record(), 1_000, Tally(), MemoryStreams(KEEPING), behind.append)
    mirror.end_alone(RESTARTED)
    assert isinstance(mirror.kept.refusal, RelayError)
    assert mirror.kept.refusal.code == "store_unavailable"


def test_an_error_frame_speaks_the_dialect_of_its_route_and_a_body_that_is_no_stream_gets_none() -> None:
    frame, last = error_frame(new_subject(route="/v1/messages"), NEVER_OPENED, 7, RESTARTED)
    assert (b"\nevent: error\n" in frame, b"relay_restarted" in frame, last) == (True, True, 8)
    assert error_frame(new_subject(), JSON, 7, RESTARTED) == (b"", 7)
