"""What happened to headers and errors, and what a browser makes of it."""

from dataclasses import replace

import pytest

from relay.core.diagnosis.evidence import Answer, Arrived
from tests.core.diagnosis.healthy import HEAD, ORIGIN, PREFLIGHT, STREAM, UNKEYED, headed, without, wrong

ALLOW = "Access-Control-Allow-Origin"


def test_a_request_header_that_is_lost_is_named_with_its_line() -> None:
    seen = Arrived("HTTP/1.1", ("authorization", "x-api-key", "x-request-id"), True)
    (finding,) = wrong(dressed=replace(STREAM, arrived=seen))
    assert finding.name == "swallowed"
    assert "Last-Event-ID" in finding.measured
    assert "proxy_set_header Last-Event-ID $http_last_event_id;" in finding.remedy


@pytest.mark.parametrize("name", ["X-Request-Id", "Cache-Control", "Content-Type", "X-Content-Type-Options"])
def test_an_answer_header_that_is_lost_is_named(name: str) -> None:
    (finding,) = wrong(dressed=headed(STREAM, less=(name,)))
    assert finding.name == "swallowed"
    assert f"{name.lower()}: missing" in finding.measured


def test_a_replaced_cache_control_is_lost_and_a_replaced_request_id_is_not() -> None:
    (finding,) = wrong(dressed=headed(STREAM, ("Cache-Control", "public, max-age=60"), less=("Cache-Control",)))
    assert "cache-control: public, max-age=60" in finding.measured
    assert wrong(dressed=headed(STREAM, ("X-Request-Id", "other"), less=("X-Request-Id",))) == []


@pytest.mark.parametrize("answer", [Answer(401, headers=UNKEYED.headers, body=b"<h1>"), replace(UNKEYED, status=200)])
def test_an_error_that_is_not_the_relays_any_more_is_named(answer: Answer) -> None:
    (finding,) = wrong(unkeyed=answer)
    assert (finding.name, "proxy_intercept_errors off;" in finding.remedy) == ("errors", True)


@pytest.mark.parametrize(
    ("lost", "shown"),
    [
        (without(PREFLIGHT, ALLOW), f"{ALLOW}: missing"),
        ((*without(PREFLIGHT, ALLOW), (ALLOW, "https://other.example")), "https://other.example"),
        ((*PREFLIGHT, (ALLOW, ORIGIN)), f"{ORIGIN} and {ORIGIN}"),
        (without(PREFLIGHT, "Access-Control-Allow-Methods"), "without POST"),
        (without(PREFLIGHT, "Access-Control-Allow-Headers"), "without authorization"),
    ],
)
def test_a_preflight_is_read_as_a_browser_does(lost: tuple[tuple[str, str], ...], shown: str) -> None:
    (finding,) = wrong(preflight=Answer(204, headers=lost))
    assert (finding.name, shown in finding.measured) == ("cors_preflight", True)


def test_a_preflight_that_is_refused_is_named() -> None:
    (finding,) = wrong(preflight=Answer(405, headers=PREFLIGHT))
    assert "status 405" in finding.measured


def test_answers_and_errors_are_told_apart() -> None:
    (on_answers,) = wrong(plain=replace(STREAM, answer=replace(STREAM.answer, headers=without(HEAD, ALLOW))))
    (on_errors,) = wrong(unkeyed=replace(UNKEYED, headers=without(UNKEYED.headers, ALLOW)))
    assert (on_answers.name, on_errors.name) == ("cors_answers", "cors_errors")


def test_an_origin_that_the_relay_refuses_or_does_not_see_is_the_only_culprit() -> None:
    bare = Answer(204, headers=without(PREFLIGHT, ALLOW))
    for arrived, remedy in (
        (Arrived("HTTP/1.1", ("Origin",), False), "[cors] origins"),
        (Arrived("HTTP/1.1", (), False), "proxy_set_header Origin"),
    ):
        (finding,) = wrong(preflight=bare, plain=replace(STREAM, arrived=arrived))
        assert finding.name == "cors_origin"
        assert remedy in finding.remedy


def test_without_a_key_the_relays_own_list_is_the_first_thing_to_look_at() -> None:
    (finding,) = wrong(preflight=Answer(204, headers=without(PREFLIGHT, ALLOW)), plain=None, dressed=None, silent=None)
    assert finding.remedy.startswith("First see that [cors] origins")


def test_without_an_origin_cors_is_not_looked_at() -> None:
    bare = replace(STREAM, answer=replace(STREAM.answer, headers=without(HEAD, ALLOW)))
    assert wrong(origin="", preflight=None, plain=bare) == []
