"""What was measured, as it is read."""

from dataclasses import replace

from relay.core.diagnosis.evidence import Answer, Failure
from tests.core.diagnosis.healthy import STREAM, WELL, refused


def test_a_header_is_found_whatever_its_case_and_two_are_a_list() -> None:
    answer = Answer(200, 11, (("X-A", "1"), ("x-a", "2"), ("X-B", "3")))
    assert (answer.header("X-a"), answer.all_of("x-A"), answer.header("none")) == ("1, 2", ["1", "2"], "")


def test_what_came_is_shown_to_people() -> None:
    assert Answer(429, body=b'{"error":{"code":"too_many_streams"}}').shown == "status 429 too_many_streams"
    assert Answer(502, body=b"<html>").shown == "status 502"
    assert Answer(failure=Failure("dns", "the name is not known")).shown == "the name is not known"
    assert Answer(200, failure=Failure("closed", "broke off")).shown == "status 200"


def test_the_stream_is_the_one_whose_key_was_taken() -> None:
    other = replace(STREAM, ended=False)
    assert WELL.stream is STREAM
    assert replace(WELL, plain=refused(401), by_other=other).stream is other
    assert replace(WELL, plain=refused(401)).stream is None
