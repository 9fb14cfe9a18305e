"""The upstream's answer head: which framing it declares, and which of its headers a caller may see."""

import re
from collections.abc import Iterable, Sequence

from relay.core.body import BodyDecoder, ByLength, Chunked, UntilClose
from relay.core.scrub import secret_in

Headers = Sequence[tuple[str, str]]

# An allow-list: what is not named here (Set-Cookie, Access-Control-*, X-Accel-*, Location, …) never reaches a caller.
_PASSED = frozenset({"retry-after", "retry-after-ms", "x-should-retry", "content-disposition", "request-id"})
_PASSED_PREFIXES = ("openai-processing", "openai-version", "openai-model", "anthropic-ratelimit-", "x-ratelimit-")
# What gunicorn would refuse to send must not get that far: control bytes; and of other bytes nobody knows the encoding.
_SAFE_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}\Z")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_ACTIVE = re.compile(r"html|xml")
_DIGITS = re.compile(r"[0-9]{1,18}\Z")


BODILESS = (204, 304)


class BadHead(Exception):
    """The head contradicts itself; the body cannot be read safely (RFC 9112 6.3)."""


def body_of(status: int, headers: Headers, *, http11: bool) -> BodyDecoder:
    """The same for an answer: some statuses have no body, whatever their headers say (RFC 9112 6.3). Raises BadHead."""
    return ByLength(0) if status in BODILESS else framing(headers, http11=http11)


def framing(headers: Headers, *, http11: bool) -> BodyDecoder:
    """Return the decoder for a body with these headers.

    Raises BadHead where two readers could disagree about its end.
    """
    codings = _values(headers, "transfer-encoding")
    lengths = _values(headers, "content-length")
    if codings:
        if lengths or not http11 or [c.lower() for c in codings] != ["chunked"]:
            raise BadHead("transfer-encoding")
        return Chunked()
    if not lengths:
        return UntilClose()
    if len(lengths) > 1 or not _DIGITS.match(lengths[0]):
        raise BadHead("content-length")
    return ByLength(int(lengths[0]))


def keeps_alive(headers: Headers, *, http11: bool) -> bool:
    """Whether the upstream lets its connection be used again (RFC 9112 9.3)."""
    return http11 and "close" not in _nominated(headers)


def content_type(headers: Headers) -> str:
    """The media type with its parameters, or the type of unknown bytes."""
    values = _values(headers, "content-type")
    return values[0] if values and values[0] and _SAFE_VALUE.match(values[0]) else "application/octet-stream"


def without_secret(media_type: str, secret: str) -> str:
    """The type of unknown bytes instead of one that says what nobody may read."""
    hidden = secret_in(secret).lower()
    return "application/octet-stream" if hidden and hidden in media_type.lower() else media_type


def is_event_stream(media_type: str) -> bool:
    return media_type.split(";", 1)[0].strip().lower() == "text/event-stream"


def served_as(media_type: str) -> str:
    """The type under which the body goes on: a page from an upstream must not become a page of ours."""
    return "text/plain; charset=utf-8" if _ACTIVE.search(media_type.lower()) else media_type


def is_encoded(headers: Headers) -> bool:
    """Whether the body is compressed although we asked for identity."""
    return any(v.strip().lower() not in ("", "identity") for v in _values(headers, "content-encoding"))


def passed_on(headers: Headers, secrets: Iterable[str], *, rate_limits: bool) -> list[tuple[str, str]]:
    """The headers that a caller may see; `rate_limits` also the upstream's own limits, which else would pass for
    ours.
    """
    passed = [(name, value) for name, value in headers if _is_passed(name.lower(), rate_limits)]
    if not passed:
        return []
    named = _nominated(headers)
    hidden = [secret_in(secret).lower() for secret in secrets if secret_in(secret)]
    return [
        (name, value)
        for name, value in passed
        if name.lower() not in named
        and _TOKEN.match(name)
        and _SAFE_VALUE.match(value)
        and not any(secret in f"{name} {value}".lower() for secret in hidden)
    ]


def _is_passed(name: str, rate_limits: bool) -> bool:
    if name.startswith("x-ratelimit-"):
        return rate_limits
    return name in _PASSED or name.startswith(_PASSED_PREFIXES)


def _nominated(headers: Headers) -> set[str]:
    """Names that `Connection` declares hop-by-hop (RFC 9110 7.6.1)."""
    return {o.strip().lower() for v in _values(headers, "connection") for o in v.split(",")}


def _values(headers: Headers, name: str) -> list[str]:
    return [value.strip(" \t") for key, value in headers if key.lower() == name]
