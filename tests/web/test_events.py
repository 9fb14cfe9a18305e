"""Response headers of an upstream's answer: an allow-list, and what keeps a stream from being held back."""

from types import SimpleNamespace
from typing import Any

import pytest

from relay.core.body import ByLength, Chunked
from relay.web.events import answer_headers, is_stream

KEY = "sk-canary-Rt5"
BUFFERED_NOWHERE = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
]


def answer(
    *headers: tuple[str, str], status: int = 200, kind: str = "application/json", length: int | None = None
) -> Any:
    decoder = Chunked() if length is None else ByLength(length)
    target = SimpleNamespace(api_key=KEY)
    return SimpleNamespace(status=status, headers=headers, content_type=kind, decoder=decoder, target=target)


def test_a_stream_is_marked_so_that_nobody_holds_it_back() -> None:
    assert answer_headers(answer(kind="text/event-stream", length=5)) == BUFFERED_NOWHERE


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream;charset=x", True),
        ("application/json", False),
        ("text/e", False),
    ],
)
def test_a_stream_is_known_by_its_type(kind: str, expected: bool) -> None:
    assert is_stream(answer(kind=kind)) == expected


def test_another_body_keeps_its_type_and_its_length_and_is_not_stored() -> None:
    assert answer_headers(answer(kind="audio/mpeg", length=5)) == [
        ("Content-Type", "audio/mpeg"),
        ("Cache-Control", "no-store"),
        ("Content-Length", "5"),
    ]
    assert answer_headers(answer()) == [("Content-Type", "application/json"), ("Cache-Control", "no-store")]


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml; charset=utf-8"])
def test_a_page_is_served_as_text(kind: str) -> None:
    assert ("Content-Type", "text/plain; charset=utf-8") in answer_headers(answer(kind=kind))


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie", "Access-Control-Allow-Origin", "X-Accel-Redirect", "X-Accel-Buffering", "Location", "Server",
        "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "Content-Security-Policy", "X-Request-Id",
        "WWW-Authenticate", "Relay-Error-Source", "Vary",
    ],
)  # fmt: skip
def test_what_is_not_on_the_list_does_not_pass(name: str) -> None:
    for kind in ("application/json", "text/event-stream"):
        headers = answer_headers(answer((name, "canary"), kind=kind))
        assert all("canary" not in value for _, value in headers)


def test_what_is_on_the_list_passes() -> None:
    passing = [("retry-after", "3"), ("openai-processing-ms", "12"), ("request-id", "r1"), ("x-should-retry", "true")]
    assert answer_headers(answer(*passing))[:4] == passing


def test_an_upstreams_limits_pass_only_where_they_explain_its_refusal() -> None:
    limit = ("x-ratelimit-remaining-requests", "0")
    assert limit not in answer_headers(answer(limit))
    assert limit in answer_headers(answer(limit, status=429))


@pytest.mark.parametrize(("status", "said"), [(200, False), (302, False), (400, True), (429, True), (500, True)])
def test_an_error_of_the_upstreams_is_said_to_be_its(status: int, said: bool) -> None:
    assert (("Relay-Error-Source", "upstream") in answer_headers(answer(status=status))) == said


def test_an_echo_of_the_upstreams_key_does_not_pass() -> None:
    assert answer_headers(answer(("request-id", f"for {KEY}"))) == answer_headers(answer())
