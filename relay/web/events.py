"""The response headers of an answer that comes from an upstream, listed once."""

from typing import Any

from relay.core import head

# No cache, proxy or compressor may hold a frame back; nginx reads X-Accel-Buffering.
EVENT_STREAM_HEADERS = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
)


def is_stream(upstream: Any) -> bool:
    """Whether the answer is a stream of events that we may speak in."""
    return head.is_event_stream(upstream.content_type)


def answer_headers(upstream: Any) -> list[tuple[str, str]]:
    """The headers for an upstream's answer; the common ones (request id, limits, nosniff) are added to every answer."""
    limited = upstream.status == 429  # its own limits explain its refusal
    headers = head.passed_on(upstream.headers, [upstream.target.api_key], rate_limits=limited)
    if upstream.status >= 400:
        headers.append(("Relay-Error-Source", "upstream"))
    if is_stream(upstream):
        return [*headers, *EVENT_STREAM_HEADERS]
    return [*headers, *_body_headers(upstream)]


def _body_headers(upstream: Any) -> list[tuple[str, str]]:
    """A declared length goes on, so that the caller sees a cut; gunicorn would else frame a short body as whole."""
    headers = [("Content-Type", head.served_as(upstream.content_type)), ("Cache-Control", "no-store")]
    length = upstream.decoder.length_bytes
    return headers if length is None else [*headers, ("Content-Length", str(length))]
