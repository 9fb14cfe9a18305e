"""What stands in Redis of a stream can be read back exactly."""

import pytest

from relay.core.errors import RelayError
from relay.stores.stream_record import Record, as_json, piece, read_piece, read_record, refusal_as_json
from tests.stores.stream_processes import DONE, STREAM, new_subject


def test_a_record_reads_back_what_was_written() -> None:
    subject = new_subject(owner="ключ/a b")
    reply = [as_json(subject), b"p", as_json(STREAM), as_json(DONE), None, b"12", b"1700000000.5"]
    assert read_record(reply) == Record(subject, "p", STREAM, DONE, None, 12, 1_700_000_000.5)


def test_an_unknown_stream_has_no_record() -> None:
    assert read_record([None] * 7) is None


def test_a_new_stream_has_neither_head_nor_frames() -> None:
    subject = new_subject()
    record = read_record([as_json(subject), b"p", *[None] * 5])
    assert record == Record(subject, "p", None, None, None, 0, None)
    assert record.summary.status == "opening"


@pytest.mark.parametrize(
    ("head", "outcome", "status"), [(None, None, "opening"), (STREAM, None, "live"), (STREAM, DONE, "done")]
)
def test_a_summary_says_how_it_stands(head: object, outcome: object, status: str) -> None:
    subject = new_subject()
    summary = Record(subject, "p", head, outcome, None, 3, None).summary  # type: ignore[arg-type]
    assert (summary.id, summary.status, summary.frames) == (subject.id, status, 3)


def test_a_refusal_reads_back_as_the_same_refusal() -> None:
    error = RelayError("rate_limit_exceeded", "Zu viel: ü", param="n", retry_after_seconds=1.5, headers=(("a", "b"),))
    error.upstream_status = 429
    record = read_record([as_json(new_subject()), b"p", None, None, refusal_as_json(error), None, None])
    assert record is not None
    assert record.refusal is not None
    assert (record.refusal.__dict__, str(record.refusal)) == (error.__dict__, str(error))


@pytest.mark.parametrize("data", [b"", b"\n", b"id: 1\ndata: 1 2\n\n", bytes(range(256))])
def test_a_piece_reads_back_byte_for_byte(data: bytes) -> None:
    assert read_piece(piece(3, 17, data)) == (3, 17, data)
