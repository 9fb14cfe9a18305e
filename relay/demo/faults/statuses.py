"""Another answer than the one that was asked for: refusals, redirects, the wrong type."""

from relay.demo.faults.case import Case, Fault
from relay.demo.script import CHUNKED, JSON, LAST_CHUNK, Script, chunk, encode, error, error_body, head, whole

ELSEWHERE = "http://elsewhere.invalid"
_HTML = b"<!DOCTYPE html><title>Maintenance</title><script>alert(1)</script><p>Back soon.</p>\n"
_CODES = {
    400: "invalid_value",
    401: "invalid_api_key",
    403: "unsupported_country_region_territory",
    404: "model_not_found",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    422: "unprocessable",
    500: "server_error",
    502: "bad_gateway",
    503: "overloaded",
    504: "gateway_timeout",
    529: "overloaded_error",
}
_LIMITED = (
    "Retry-After: 7",
    "x-ratelimit-limit-requests: 60",
    "x-ratelimit-remaining-requests: 0",
    "x-ratelimit-reset-requests: 7s",
    "x-ratelimit-limit-tokens: 40000",
    "x-ratelimit-remaining-tokens: 39000",
    "x-ratelimit-reset-tokens: 1s",
)


def limited(case: Case) -> Script:
    return error(429, "Rate limit reached for requests.", "rate_limit_exceeded", *_LIMITED)


def html(case: Case) -> Script:
    return whole(200, _HTML, "Content-Type: text/html; charset=utf-8")


def json_error_200(case: Case) -> Script:
    return whole(200, encode(error_body("The model is overloaded.", "overloaded", 503)), JSON)


def redirect(case: Case) -> Script:
    return whole(307, b"", JSON, f"Location: {ELSEWHERE}{case.request.path}")


def endless_redirect(case: Case) -> Script:
    """A redirect whose body does not stop at the 64 KiB that a relay may read of it."""
    yield head(302, f"Location: {ELSEWHERE}/", "Content-Type: text/plain", CHUNKED)
    for _ in range(1_024):
        yield chunk(b"x" * 4_096)
    yield LAST_CHUNK


def echo_key(case: Case) -> Script:
    """The caller's credential in a header, and in a frame or the JSON body."""
    key = _credential(case)
    frames = [case.dialect.delta(f"your key is {key}"), *case.ended]
    halves = [encode(case.dialect.whole([f"your key is {key}"], "stop"))]
    return case.complete(halves if case.content_type == JSON else frames, f"x-echo: {key}")


def echo_key_error(case: Case) -> Script:
    key = _credential(case)
    return error(400, f"Your request with {key} is odd.", "invalid_value", f"x-echo: {key}")


def echo_key_redirect(case: Case) -> Script:
    return whole(302, b"", JSON, f"Location: {ELSEWHERE}/?key={_credential(case)}")


def _credential(case: Case) -> str:
    headers = case.request.headers
    return headers.get("authorization", headers.get("x-api-key", "none"))


def _status(status: int, code: str) -> Fault:
    return lambda case: error(status, f"The demo upstream answers {status}, as it was asked to.", code)


STATUSES: dict[str, Fault] = {str(status): _status(status, code) for status, code in _CODES.items()} | {
    "429": limited,
    "html": html,
    "json-error-200": json_error_200,
    "redirect": redirect,
    "endless-redirect": endless_redirect,
    "echo-key": echo_key,
    "echo-key-error": echo_key_error,
    "echo-key-redirect": echo_key_redirect,
}
