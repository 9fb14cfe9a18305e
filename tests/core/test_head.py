"""The upstream's head: two readers must agree about the body, and a caller sees nothing but what is listed."""

import re

import pytest
from gunicorn.http.message import TOKEN_RE
from gunicorn.http.wsgi import HEADER_VALUE_RE
from hypothesis import given
from hypothesis import strategies as st

from relay.core.body import ByLength, Chunked, UntilClose
from relay.core.head import (
    BadHead,
    content_type,
    framing,
    is_encoded,
    is_event_stream,
    keeps_alive,
    passed_on,
    served_as,
    without_secret,
)

CHUNKED = ("Transfer-Encoding", "chunked")
KEY = "sk-canary-0123456789"


def lengths(*values: str) -> list[tuple[str, str]]:
    return [("Content-Length", value) for value in values]


def test_the_framing_is_what_the_head_declares() -> None:
    assert isinstance(framing([("transfer-encoding", " Chunked ")], http11=True), Chunked)
    assert isinstance(framing([], http11=True), UntilClose)
    by_length = framing(lengths("007"), http11=False)
    assert isinstance(by_length, ByLength)
    assert by_length.length_bytes == 7


@pytest.mark.parametrize(
    "value",
    ["", "-1", "+5", "1_0", "0x5", "5.0", "5, 5", "5,6", "５", "٥", "5 5", "1" * 19, "five", "5;", "\x0b5", "5\xa0"],
)
def test_a_length_that_is_not_plain_digits_is_refused(value: str) -> None:
    with pytest.raises(BadHead):
        framing(lengths(value), http11=True)


@pytest.mark.parametrize("values", [("5", "6"), ("5", ""), ("5", "05"), ("5", "5")])
def test_a_second_length_is_refused(values: tuple[str, str]) -> None:
    with pytest.raises(BadHead):
        framing(lengths(*values), http11=True)


@pytest.mark.parametrize(
    "value",
    [
        "", "identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "xchunked", "chunked;q=1",
        "\x0bchunked", "chunked\xa0", "\x85chunked",
    ],
)  # fmt: skip
def test_a_transfer_coding_other_than_chunked_is_refused(value: str) -> None:
    with pytest.raises(BadHead):
        framing([("Transfer-Encoding", value)], http11=True)


@pytest.mark.parametrize("headers", [[CHUNKED, *lengths("5")], [*lengths("5"), CHUNKED], [CHUNKED, CHUNKED]])
def test_framing_that_contradicts_itself_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(BadHead):
        framing(headers, http11=True)


def test_an_http_1_0_answer_is_never_chunked() -> None:
    with pytest.raises(BadHead):
        framing([CHUNKED], http11=False)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("keep-alive", True),
        ("close", False),
        ("Close", False),
        ("keep-alive, close", False),
        ("x-close", True),
        ("", True),
    ],
)
def test_a_connection_is_kept_unless_the_upstream_closes_it(value: str, kept: bool) -> None:
    assert keeps_alive([("Connection", value)], http11=True) is kept
    assert not keeps_alive([("Connection", value)], http11=False)
    assert keeps_alive([], http11=True)


def test_a_later_connection_header_counts_too() -> None:
    assert not keeps_alive([("Connection", "keep-alive"), ("connection", "CLOSE")], http11=True)


@pytest.mark.parametrize(
    "headers", [[], [("Content-Type", "")], [("Content-Type", "a/b\x00")], [("Content-Type", "€/b")]]
)
def test_an_absent_or_unusable_media_type_is_that_of_unknown_bytes(headers: list[tuple[str, str]]) -> None:
    assert content_type(headers) == "application/octet-stream"


def test_a_media_type_keeps_its_parameters() -> None:
    assert content_type([("content-type", " text/plain; charset=UTF-8 ")]) == "text/plain; charset=UTF-8"


@pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream ; charset=utf-8", " text/event-stream;"])
def test_an_event_stream_is_known_by_its_type(kind: str) -> None:
    assert is_event_stream(kind)


@pytest.mark.parametrize("kind", ["application/json", "text/event-streams", "text/plain; x=text/event-stream", ""])
def test_nothing_else_is_an_event_stream(kind: str) -> None:
    assert not is_event_stream(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "text/html", "TEXT/HTML; charset=utf-7", " text/html ;", "application/xhtml+xml", "image/svg+xml", "text/xml",
        "application/xml", "application/atom+xml", "application/mathml+xml", "x/y, text/html",
        "x/y; a=b, text/html",
    ],
)  # fmt: skip
def test_a_page_of_an_upstream_does_not_become_a_page_of_ours(kind: str) -> None:
    assert served_as(kind) == "text/plain; charset=utf-8"


@pytest.mark.parametrize("kind", ["application/json", "audio/mpeg", "image/png", "text/plain; charset=latin-1"])
def test_other_types_are_served_as_they_are(kind: str) -> None:
    assert served_as(kind) == kind


@pytest.mark.parametrize(
    ("value", "encoded"), [("gzip", True), ("identity, br", True), ("Identity", False), ("", False)]
)
def test_a_compressed_body_is_noticed(value: str, encoded: bool) -> None:
    assert is_encoded([("content-encoding", value)]) is encoded
    assert is_encoded([("Content-Encoding", "identity"), ("Content-Encoding", value)]) is encoded
    assert not is_encoded([])


@pytest.mark.parametrize(
    "name", ["Retry-After", "retry-after-ms", "X-Should-Retry", "openai-processing-ms", "request-id"]
)
def test_what_is_listed_passes(name: str) -> None:
    assert passed_on([(name, "1")], [KEY], rate_limits=False) == [(name, "1")]


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "Access-Control-Allow-Origin",
        "X-Accel-Redirect",
        "X-Accel-Buffering",
        "Location",
        "Content-Encoding",
        "Content-Length",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "Trailer",
        "Upgrade",
        "Proxy-Authenticate",
        "WWW-Authenticate",
        "Server",
        "Date",
        "Via",
        "Link",
        "Content-Security-Policy",
        "Strict-Transport-Security",
        "Clear-Site-Data",
        "Refresh",
        "openai-organization",
        "X-Request-Id",
        "Vary",
        "Content-Type",
        "Cache-Control",
        "Relay-Error-Source",
        "Alt-Svc",
    ],
)
def test_what_is_not_listed_never_passes(name: str) -> None:
    for spelling in (name, name.lower(), name.upper()):
        assert passed_on([(spelling, "1")], [], rate_limits=True) == []


def test_the_upstreams_own_limits_pass_only_where_they_explain_its_refusal() -> None:
    headers = [("x-ratelimit-limit-requests", "1"), ("X-RateLimit-Reset", "2")]
    assert passed_on(headers, [], rate_limits=True) == headers
    assert passed_on(headers, [], rate_limits=False) == []


@pytest.mark.parametrize("value", ["Retry-After", "close, retry-after", "x,RETRY-AFTER ,y"])
def test_what_connection_nominates_does_not_pass(value: str) -> None:
    assert passed_on([("Retry-After", "1"), ("Connection", value)], [], rate_limits=False) == []


@pytest.mark.parametrize("value", [f"Bearer {KEY}", KEY, f'"{KEY}"'])
def test_a_header_that_echoes_the_key_does_not_pass(value: str) -> None:
    assert passed_on([("retry-after", value), ("request-id", "a")], ["", KEY], rate_limits=False) == [
        ("request-id", "a")
    ]


@given(st.sampled_from(["retry-after", "x-ratelimit-", "openai-version"]), st.text(max_size=5), st.text(max_size=20))
def test_nothing_passes_that_gunicorn_would_refuse_to_send(stem: str, suffix: str, value: str) -> None:
    for name, passed in passed_on([(stem + suffix, value)], [], rate_limits=True):
        assert TOKEN_RE.fullmatch(name)
        assert HEADER_VALUE_RE.fullmatch(passed)
        assert not re.search(r"[\r\n\0]", name + passed)


@pytest.mark.parametrize("name", ["x-ratelimit-(a)", "openai-version a", "openai-version\r\nX", "x-ratelimit-ä"])
def test_a_header_name_that_is_no_token_does_not_pass(name: str) -> None:
    assert passed_on([(name, "1")], [], rate_limits=True) == []


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\0", "a\x7f", "\x1b[0m", "caf\xe9", "€"])
def test_control_bytes_and_text_that_is_no_ascii_do_not_pass(value: str) -> None:
    assert passed_on([("request-id", value)], [], rate_limits=False) == []


@pytest.mark.parametrize("header", [("request-id", KEY.upper()), (f"x-ratelimit-{KEY}", "1")])
def test_an_echo_of_the_key_in_another_case_or_in_a_name_does_not_pass(header: tuple[str, str]) -> None:
    assert passed_on([header], [KEY], rate_limits=True) == []


def test_a_media_type_that_echoes_the_key_is_that_of_unknown_bytes() -> None:
    for echo in (KEY, KEY.upper()):
        assert without_secret(f"text/plain; charset={echo}", KEY) == "application/octet-stream"
    assert without_secret("text/plain; charset=utf-8", KEY) == "text/plain; charset=utf-8"
    assert without_secret("text/plain", "") == "text/plain"


@pytest.mark.parametrize("placeholder", ["x", "text", "json", "none", "1"])
def test_a_placeholder_instead_of_a_key_hides_no_header_and_no_type(placeholder: str) -> None:
    headers = [("retry-after", "1"), ("request-id", "none-x"), ("openai-version", "text json")]
    assert passed_on(headers, [placeholder], rate_limits=False) == headers
    for kind in ("text/event-stream", "application/json"):
        assert without_secret(kind, placeholder) == kind


def test_a_very_long_value_does_not_pass() -> None:
    assert passed_on([("request-id", "x" * 4097)], [], rate_limits=False) == []
