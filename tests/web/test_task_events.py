"""The two names of a task's failure, and its last event."""

import pytest

from relay.core.frame_log import FrameLog, Tally
from relay.core.kept import Kept, Subject
from relay.core.progress import Progress
from relay.stores.streams import Keeping, MemoryStreams
from relay.stores.task_board import Standing
from relay.web.task_events import as_alias, as_it_is, failure_as_error, iso_time, last_event, standing_of

STREAM_ID = "rs_" + "a" * 22
KEEPER = MemoryStreams(Keeping(60, 65_536, 65_536))


def kept_with(*frames: bytes) -> Kept:
    subject = Subject(STREAM_ID, "key", "/v1/tasks", "m", "f", 0.0)
    kept = Kept(subject, 65_536, KEEPER, FrameLog(Tally()))
    for number, frame in enumerate(frames, 1):
        kept.append(frame, number)
    return kept


def frames() -> list[bytes]:
    told = Progress(STREAM_ID, "task", "en")
    return [told.status("queued"), told.text("\nevent: failed\n", 16), told.failed({"message": "über", "code": "c"})]


def test_a_failure_is_an_error_with_a_string_under_the_same_number() -> None:
    translated = failure_as_error(b"".join(frames()))
    assert translated.startswith(b"".join(frames()[:2]))
    assert translated.endswith(
        f'id: {STREAM_ID}:3\nevent: error\ndata: {{"error":"über","stage":"failed"}}\n\n'.encode()
    )


def test_what_holds_no_failure_is_passed_on_as_it_is() -> None:
    batch = b"".join(frames()[:2])
    assert failure_as_error(batch) is batch


def test_a_followed_alias_reads_translated_frames_under_the_logs_numbers() -> None:
    kept = kept_with(*frames())
    view = as_alias(kept)
    assert view.log.read(2, 65_536) == (failure_as_error(frames()[2]), 3)
    assert (view.log.last_seq, view.subject, view.outcome) == (3, kept.subject, None)
    assert as_it_is(kept).log.read(2, 65_536) == (frames()[2], 3)


def test_the_last_event_is_read() -> None:
    assert last_event(kept_with(*frames())) == {"error": {"message": "über", "code": "c"}, "stage": "failed"}
    told = Progress(STREAM_ID, "task", "en")
    batch = told.text("a", 1) + told.complete({"response": "a"})
    assert last_event(kept_with(batch)) == {"response": "a"}
    assert last_event(kept_with()) == {}


def test_a_moment_is_shown_in_utc() -> None:
    assert iso_time(1.5) == "1970-01-01T00:00:01.500Z"


@pytest.mark.parametrize(
    ("known", "told", "expected"),
    [
        (Standing("receiving", 60, 1.0), {"response": "a", "progress": 100}, Standing("complete", 100, 1.0)),
        (Standing("receiving", 60, 1.0), {"error": {}, "stage": "failed"}, Standing("failed", 60, 1.0)),
        (Standing("initializing", 0, 1.0), {"chunk": "a", "progress": 55}, Standing("receiving", 55, 1.0)),
        (Standing("complete", 100, 1.0), {"chunk": "a", "progress": 55}, Standing("receiving", 55, 1.0)),
        (None, {"stage": "queued", "progress": 0}, Standing("queued", 0, 0.0)),
        (None, {"response": "a"}, Standing("complete", 100, 0.0)),
    ],
)
def test_a_task_stands_where_its_last_event_says(
    known: Standing | None, told: dict[str, object], expected: Standing
) -> None:
    assert standing_of(known, told) == expected
