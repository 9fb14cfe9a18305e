"""The report says what was measured, what was missed, how noisy it was, and what was wrong."""

from bench.report import faulty, number, report
from bench.samples import Sample

QUIET = [
    Sample(1, "S1", "nginx", {"cpu_per_frame_us": 10.0}),
    Sample(1, "S1", "relay", {"cpu_per_frame_us": 15.0}),
    Sample(2, "S1", "nginx", {"cpu_per_frame_us": 11.0}),
    Sample(2, "S1", "relay", {"cpu_per_frame_us": 22.0}),
]
PEERS = ["nginx", "relay"]


def line(text: str, start: str, nth: int = 0) -> str:
    return [line for line in text.splitlines() if line.startswith(start)][nth]


def test_figures_and_ratios_are_medians_with_their_ends() -> None:
    text = report(QUIET, PEERS)
    assert "18.5 (15.0 .. 22.0)" in line(text, "S1 ")
    assert "1.75 (1.50 .. 2.00)" in line(text, "S1 ", 1)


def test_goals_have_their_verdict() -> None:
    assert line(report(QUIET, PEERS), "CPU per frame, burst").endswith("must met")


def test_noise_is_how_far_nginx_strays_from_itself() -> None:
    assert "S1: nginx's own CPU varies by 10% between rounds" in report(QUIET, PEERS)


def test_a_disturbed_run_is_told() -> None:
    disturbed = Sample(3, "S1", "relay", {"cpu_per_frame_us": 30.0}, foreign_share=0.4)
    assert "S1: disturbed in 1 of 5 runs, others took up to 40%" in report([*QUIET, disturbed], PEERS)
    assert "disturbed" not in report(QUIET, PEERS)


def test_wrong_answers_are_told_and_make_the_run_fail() -> None:
    wrong = Sample(1, "S2", "relay", {}, {"order": 2, "cut": 1})
    assert faulty([*QUIET, wrong]) == [wrong]
    assert "round 1, S2, relay: 2 order, 1 cut" in report([*QUIET, wrong], PEERS)
    assert "wrong" not in report(QUIET, PEERS)


def test_answers_that_are_only_late_are_a_remark() -> None:
    late = Sample(1, "S2b", "naive", {}, unfinished=7, note="overloaded")
    assert faulty([late]) == []
    text = report([*QUIET, late], PEERS)
    assert "S2b, naive: 7 answers did not end in time" in text
    assert "S2b, naive: overloaded" in text


def test_numbers_have_three_digits_that_count() -> None:
    assert [number(value) for value in (0.5, 12.345, 1234.5)] == ["0.50", "12.3", "1,234"]


def test_an_empty_run_is_a_report_of_goals_only() -> None:
    assert report([], PEERS).startswith("Goals")
