"""The log of a stream: whatever is appended, read and evicted, it is what a list of frames would be."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.frame_log import DEAD_PIECES_MAX, PIECE_BYTES, Evicted, FrameLog, Tally

EVERYTHING = 10**9


@dataclass
class Model:
    """The same, as slow and plain as can be: all frames, in the pieces in which they came."""

    pieces: list[list[bytes]] = field(default_factory=list)
    evicted: int = 0  # frames

    @property
    def frames(self) -> list[bytes]:
        return [frame for piece in self.pieces for frame in piece]

    @property
    def last_seq(self) -> int:
        return self.evicted + len(self.frames)

    @property
    def bytes(self) -> int:
        return sum(sum(map(len, piece)) + PIECE_BYTES for piece in self.pieces)

    def evict(self, bytes_max: int, needed_after: int) -> None:
        while len(self.pieces) > 1 and self.bytes > bytes_max and self.evicted + len(self.pieces[0]) <= needed_after:
            self.evicted += len(self.pieces.pop(0))

    def behind(self, after: int) -> bytes:
        return b"".join(self.frames[max(0, after - self.evicted) :])


def frame(number: int) -> bytes:
    return b"id: x:%d\ndata: %b\n\n" % (number, b"y" * (number % 7))


def both(*counts: int) -> tuple[FrameLog, Model, Tally]:
    """A log and its model, with pieces of so many frames each."""
    tally = Tally()
    log, model = FrameLog(tally), Model()
    for count in counts:
        append(log, model, count)
    return log, model, tally


def append(log: FrameLog, model: Model, count: int) -> None:
    first = model.last_seq + 1
    model.pieces.append([frame(number) for number in range(first, first + count)])
    log.append(b"".join(model.pieces[-1]), model.last_seq)


def read_to_the_end(log: FrameLog, after: int, bytes_max: int) -> bytes:
    """As a follower does; every read but the last brings something, and in order."""
    got = b""
    while True:
        data, reached = log.read(after, bytes_max)
        got += data
        if not data:
            assert reached == after
            return got
        assert reached > after
        after = reached


def assert_same(log: FrameLog, model: Model, tally: Tally, bytes_max: int) -> None:
    assert (log.last_seq, log.evicted_seq, log.bytes) == (model.last_seq, model.evicted, model.bytes)
    assert tally.bytes == model.bytes
    assert [data for data, _ in log.pieces()] == [b"".join(piece) for piece in model.pieces]
    for after in range(model.last_seq + 3):
        if after < model.evicted:
            with pytest.raises(Evicted):
                log.read(after, bytes_max)
        else:
            assert read_to_the_end(log, after, bytes_max) == model.behind(after)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("evict"), st.integers(0, 1200), st.integers(0, 40)),
    ),
    max_size=25,
)


@given(STEPS, st.integers(0, 400))
def test_any_sequence_of_steps_leaves_what_a_list_would(steps: list[tuple[str, int, int]], bytes_max: int) -> None:
    log, model, tally = both()
    for step, count, needed_after in steps:
        if step == "append":
            append(log, model, count)
        else:
            log.evict(count, needed_after)
            model.evict(count, needed_after)
        assert_same(log, model, tally, bytes_max)


def test_a_read_brings_as_much_as_is_asked_for_and_one_piece_at_least() -> None:
    log, model, _ = both(1, 1, 1)
    sizes = [len(frame(number)) for number in (1, 2, 3)]
    assert log.read(0, 0) == (frame(1), 1)
    assert log.read(0, sizes[0] + sizes[1]) == (frame(1) + frame(2), 2)
    assert log.read(0, sizes[0] + sizes[1] + sizes[2] - 1) == (frame(1) + frame(2), 2)
    assert log.read(0, EVERYTHING) == (model.behind(0), 3)


def test_a_piece_of_many_frames_can_be_entered_at_each_of_them() -> None:
    log, model, _ = both(5, 3)
    for after in range(8):
        assert log.read(after, EVERYTHING) == (model.behind(after), 8)


def test_a_number_that_has_not_come_yet_is_waited_for() -> None:
    log, _, _ = both(2)
    assert log.read(7, EVERYTHING) == (b"", 7)


def test_the_last_piece_stays_whatever_its_size() -> None:
    log, _, _ = both(1, 1)
    log.evict(0, EVERYTHING)
    assert (log.evicted_seq, log.is_over(0)) == (1, False)
    assert log.read(1, EVERYTHING) == (frame(2), 2)


def test_what_a_reader_needs_stays_whatever_its_size() -> None:
    log, model, _ = both(2, 2, 2)
    log.evict(0, needed_after=1)  # it has the first frame of two
    assert (log.evicted_seq, log.read(1, EVERYTHING)) == (0, (model.behind(1), 6))
    log.evict(0, needed_after=2)
    assert (log.evicted_seq, log.read(2, EVERYTHING)) == (2, (model.behind(2), 6))


def test_logs_are_counted_together_and_what_is_cleared_counts_no_more() -> None:
    tally = Tally()
    logs = [FrameLog(tally) for _ in range(3)]
    for number, log in enumerate(logs, start=1):
        log.append(b"x" * number, 1)
    assert tally.bytes == 6 + 3 * PIECE_BYTES
    logs[2].clear()
    logs[2].clear()
    assert (tally.bytes, logs[2].bytes) == (3 + 2 * PIECE_BYTES, 0)
    with pytest.raises(Evicted):
        logs[2].read(0, EVERYTHING)
    assert logs[2].read(1, EVERYTHING) == (b"", 1)


def test_a_cleared_log_goes_on() -> None:
    log, _, tally = both(3)
    log.clear()
    log.append(frame(4), 4)
    assert log.read(3, EVERYTHING) == (frame(4), 4)
    assert tally.bytes == log.bytes == len(frame(4)) + PIECE_BYTES


def test_what_was_evicted_leaves_no_entries_behind() -> None:
    log, model, tally = both(*[1] * (3 * DEAD_PIECES_MAX))
    log.evict(0, EVERYTHING)
    model.evict(0, EVERYTHING)
    assert len(log._pieces) <= DEAD_PIECES_MAX + 1
    assert_same(log, model, tally, 100)
