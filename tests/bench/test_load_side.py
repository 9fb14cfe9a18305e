"""Orders become words for load, and its lines become outcomes."""

import json

from bench.load_side import Order, Outcome, Progress, Times, parse

TIMES = {"count": 3, "p50": 1000, "p90": 2000, "p99": 3000, "max": 4000}
RESULT = {
    "requests": 10, "good": 8, "unfinished": 1, "frames": 40, "seconds": 2.0, "reconnects": 0, "refusal": 429,
    "first_frame": TIMES, "frame": TIMES, "whole": TIMES, "drift": TIMES,
    "faults": {"cut": 0, "refused": 1, "order": 0},
}  # fmt: skip


def test_the_last_line_is_an_outcome_with_only_the_faults_that_happened() -> None:
    outcome = parse(json.dumps(RESULT))
    assert isinstance(outcome, Outcome)
    assert outcome.faults == {"refused": 1}
    assert outcome.frame == Times(3, 1000, 2000, 3000, 4000)


def test_a_line_before_is_progress() -> None:
    assert parse('{"at_ns":5,"open":2,"frames":7}') == Progress(5, 2, 7)


def test_an_order_names_everything() -> None:
    words = Order(streams=2, requests=4, frames=3, interval_us=9, ramp_ms=5, seconds_max=7, filler_bytes=1).words()
    text = " ".join(words)
    assert text == "--streams 2 --requests 4 --frames 3 --interval-us 9 --ramp-ms 5 --seconds-max 7 --filler 1"


def test_an_order_without_streaming_asks_for_json() -> None:
    assert Order(1, 1, 1, is_stream=False).words()[-1] == "--json"
