"""CORS by flask-cors, made exact: which pages may call, on every answer, and preflight before authentication.

flask-cors compares plain origins without case, takes some for patterns, and says nothing in `Vary` on a refusal; so it
gets escaped, anchored patterns, and `Vary` and the preflight's 204 are set here.
"""

import re

import flask
from flask_cors import core
from werkzeug.datastructures import Headers

METHODS = ("GET", "POST", "DELETE", "OPTIONS")
ALLOWED_HEADERS = (
    "Authorization",
    "X-API-Key",
    "Content-Type",
    "Accept",
    "Cache-Control",
    "Last-Event-ID",
    "Idempotency-Key",
    "Relay-Resume",
    "X-Request-Id",
)
ALLOWED_HEADER_FAMILIES = ("openai-", "anthropic-", "x-stainless-")
EXPOSED_HEADERS = (
    "X-Request-Id",
    "Retry-After",
    "retry-after-ms",
    "x-should-retry",
    "Relay-Error-Source",
    "Relay-Stream-Id",
    "Relay-Stream-Url",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "RateLimit",
    "RateLimit-Policy",
    "Server-Timing",
)


# What flask-cors makes of an allowed page's request depends, but for a preflight, on its origin alone.
_OPTIONS, _ANSWERS = "relay.cors", "relay.cors.answers"


def init_app(app: flask.Flask, origins: tuple[str, ...], max_age_seconds: float) -> None:
    """Add CORS headers to every answer."""
    allow(app, origins, max_age_seconds)
    app.after_request(_add_headers)


def allow(app: flask.Flask, origins: tuple[str, ...], max_age_seconds: float) -> None:
    """Let pages of exactly these origins call, from now on."""
    options = _options_for(origins, max_age_seconds)
    app.extensions[_OPTIONS] = options
    app.extensions[_ANSWERS] = {origin: _answer_headers(options, origin) for origin in origins}


def _options_for(origins: tuple[str, ...], max_age_seconds: float) -> core._ComputedCorsOptions:
    return core.serialize_options(
        {
            **core.DEFAULT_OPTIONS,
            "origins": [re.compile(re.escape(origin) + r"\Z") for origin in origins] or "none.invalid",
            "methods": list(METHODS),
            "allow_headers": [
                *(_exactly(name) for name in ALLOWED_HEADERS),
                *(re.compile(re.escape(family) + r"[a-z0-9-]+\Z", re.IGNORECASE) for family in ALLOWED_HEADER_FAMILIES),
            ],
            "expose_headers": list(EXPOSED_HEADERS),
            "max_age": int(max_age_seconds),
            "always_send": False,
            "vary_header": False,
        }
    )


def _answer_headers(options: core._ComputedCorsOptions, origin: str) -> list[tuple[str, str]]:
    headers = core.get_cors_headers(options, Headers({"Origin": origin}), "POST")
    return [(name, str(value)) for name, value in headers.items()]


def _exactly(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name) + r"\Z", re.IGNORECASE)


def _add_headers(response: flask.Response) -> flask.Response:
    """Also on refusals: a page that may call must be able to read why it may not."""
    response.headers.add("Vary", "Origin")
    environ = flask.request.environ
    if environ["REQUEST_METHOD"] == "OPTIONS":
        return _preflighted(response)
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None:
        for name, value in flask.current_app.extensions[_ANSWERS].get(origin, ()):
            response.headers.add(name, value)
    return response


def _preflighted(response: flask.Response) -> flask.Response:
    if response.status_code == 200:
        response.status_code, response.data = 204, b""
        del response.headers["Content-Type"]
    return core.set_cors_headers(response, flask.current_app.extensions[_OPTIONS])
