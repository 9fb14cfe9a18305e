"""A task's events: their numbers, their words, and a progress that never falls."""

import json
from collections.abc import Mapping

import pytest

from relay.core.progress import MESSAGES, STAGES, Progress, percent_of

STREAM_ID = "rs_" + "a" * 22


def event(frame: bytes) -> tuple[int, str, dict[str, object]]:
    """Number, name and data of one frame."""
    number, name, data = frame.decode().removesuffix("\n\n").split("\n")
    assert number.startswith(f"id: {STREAM_ID}:")
    return int(number.rpartition(":")[2]), name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def progress(language: str = "en") -> Progress:
    return Progress(STREAM_ID, "task", language)


def test_a_stage_is_told_with_its_number_its_share_and_words() -> None:
    assert event(progress().status("queued", queue_depth=3)) == (
        1,
        "status",
        {"stage": "queued", "progress": 0, "message": "The task is in the queue", "task_id": "task", "queue_depth": 3},
    )


def test_numbers_have_no_gap_whatever_is_told() -> None:
    one = progress()
    frames = [one.status("queued"), one.text("a", 1), one.complete({"response": "a"})]
    assert [event(frame)[0] for frame in frames] == [1, 2, 3]
    assert one.last_seq == 3


@pytest.mark.parametrize(
    ("code_points", "percent"), [(0, 50), (9, 50), (10, 51), (399, 89), (400, 90), (401, 90), (10**6, 90)]
)
def test_the_texts_share_grows_with_its_length_up_to_90(code_points: int, percent: int) -> None:
    assert percent_of(code_points) == percent
    assert event(progress().text("x", code_points))[2] == {
        "chunk": "x",
        "progress": percent,
        "total_length": code_points,
    }


def test_progress_never_falls() -> None:
    one = progress()
    one.text("x", 400)
    assert event(one.status("processing"))[2]["progress"] == 90


def test_the_end_is_told_with_100_and_a_failure_keeps_what_was_reached() -> None:
    whole, broken = progress(), progress()
    broken.status("processing")
    assert event(whole.complete({"response": "a", "progress": 100}))[1:] == (
        "complete",
        {"response": "a", "progress": 100},
    )
    assert event(broken.failed({"code": "cancelled"}))[1:] == (
        "failed",
        {"error": {"code": "cancelled"}, "stage": "failed"},
    )
    assert (whole.stage, whole.percent, broken.stage, broken.percent) == ("complete", 100, "failed", 25)


def test_others_are_told_of_each_step_in_its_order() -> None:
    told: list[tuple[str, int, dict[str, object]]] = []

    def announce(stage: str, percent: int, fields: Mapping[str, object]) -> None:
        told.append((stage, percent, dict(fields)))

    one = Progress(STREAM_ID, "task", "en", announce)
    one.status("initializing")
    one.text("ab", 2)
    one.failed({"code": "cancelled"})
    assert [(stage, percent) for stage, percent, _ in told] == [("initializing", 0), ("receiving", 50), ("failed", 50)]
    assert told[1][2] == {"chunk": "ab", "progress": 50, "total_length": 2}


def test_every_stage_has_its_words_in_both_languages() -> None:
    for messages in MESSAGES.values():
        assert set(messages) == set(STAGES)
    assert event(progress("de").status("processing"))[2]["message"] == "KI-Modell verarbeitet Ihre Anfrage..."
    assert event(progress("de").status("receiving"))[2]["message"] == "Antwort wird empfangen..."


def test_umlauts_and_line_ends_stay_within_their_frame() -> None:
    frame = progress().text("ü\n\nevent: failed\n", 17)
    assert frame.count(b"\n\n") == 1 and frame.endswith(b"\n\n")
    assert event(frame)[2]["chunk"] == "ü\n\nevent: failed\n"
