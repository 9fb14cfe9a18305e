"""Model names: the knobs, in any order, within bounds."""

import pytest

from relay.demo.models import ANSWER, SECONDS_MAX, TEXT_BYTES_MAX, parse_model


def clock_ns() -> int:
    return 42


@pytest.mark.parametrize("name", ["demo", "gpt-4.1", "mockingbird", "mock-x3", "mock-n", "faulty", "fault-"])
def test_any_other_name_answers_like_demo(name: str) -> None:
    model = parse_model(name)
    assert "".join(map(model.delta, range(model.tokens))) == ANSWER
    assert (model.first_seconds, model.interval_seconds, model.fault) == (0.2, 0.03, "")


def test_the_demo_answer_has_60_to_80_words() -> None:
    assert 60 <= parse_model("demo").tokens <= 80


def test_demo_slow_says_five_words_a_second_after_two_seconds() -> None:
    model = parse_model("demo-slow")
    assert (model.first_seconds, model.interval_seconds) == (2.0, 0.2)


@pytest.mark.parametrize("name", ["mock-n500-i20000-s4-d3000000", "mock-d3000000-s4-n500-i20000"])
def test_a_mock_has_its_knobs_in_any_order(name: str) -> None:
    model = parse_model(name, clock_ns)
    assert (model.tokens, model.interval_seconds, model.first_seconds) == (500, 0.02, 3.0)
    assert model.delta(7) == "@t42:7:xxxx"


def test_a_bare_mock_has_ten_frames_of_twenty_bytes_at_once() -> None:
    model = parse_model("mock", clock_ns)
    assert (model.tokens, model.interval_seconds, model.first_seconds) == (10, 0.0, 0.0)
    assert model.delta(0) == "@t42:0:" + "x" * 20


def test_a_fault_has_a_name_and_may_have_knobs() -> None:
    model = parse_model("fault-json-error-200-n5-i1000")
    assert (model.fault, model.tokens, model.interval_seconds) == ("json-error-200", 5, 0.001)


def test_a_mock_cannot_ask_for_more_than_the_bounds() -> None:
    model = parse_model("mock-n999999999999-s999999999999-i999999999999-d999999999999")
    assert model.tokens * len(model.delta(0)) <= TEXT_BYTES_MAX
    assert model.interval_seconds == model.first_seconds == SECONDS_MAX


def test_a_token_limit_cuts_and_says_so() -> None:
    model = parse_model("demo")
    assert (model.cut(5).tokens, model.cut(5).finish) == (5, "length")
    assert model.cut(model.tokens) == model.cut(None) == model
