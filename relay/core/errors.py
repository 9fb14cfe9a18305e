"""Every refusal of the relay: its code, its true status, and whether asking again makes sense."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What a code means: HTTP status, the `type` that the SDKs show, and whether an SDK may ask again."""

    status: int
    type: str = "invalid_request_error"
    retry: bool | None = None  # None: the status says it; False: `x-should-retry: false`


KINDS: Mapping[str, Kind] = {
    "invalid_request": Kind(400),
    "ambiguous_credentials": Kind(400),
    "key_in_query": Kind(400),
    "request_too_large_for_limit": Kind(400),
    "missing_credentials": Kind(401, "authentication_error"),
    "invalid_api_key": Kind(401, "authentication_error"),
    "token_expired": Kind(401, "authentication_error"),
    "model_not_allowed": Kind(403, "permission_error"),
    "scope_not_allowed": Kind(403, "permission_error"),
    "origin_not_allowed": Kind(403, "permission_error"),
    "route_not_found": Kind(404, "not_found_error"),
    "model_not_found": Kind(404, "not_found_error"),
    "stream_not_found": Kind(404, "not_found_error"),
    "task_not_found": Kind(404, "not_found_error"),
    "method_not_allowed": Kind(405),
    "request_timeout": Kind(408, retry=False),
    "stream_expired": Kind(410),
    "events_evicted": Kind(410),
    "body_too_large": Kind(413),
    "unsupported_media_type": Kind(415),
    "misdirected_request": Kind(421),
    "idempotency_mismatch": Kind(422),
    "rate_limit_exceeded": Kind(429, "rate_limit_error"),
    "tokens_rate_limit_exceeded": Kind(429, "rate_limit_error"),
    "too_many_streams": Kind(429, "rate_limit_error"),
    "queue_full": Kind(429, "rate_limit_error"),
    "auth_rate_limited": Kind(429, "rate_limit_error", retry=False),
    "insufficient_quota": Kind(429, "insufficient_quota", retry=False),
    "client_gone": Kind(499),
    "internal_error": Kind(500, "relay_error", retry=False),
    "upstream_unreachable": Kind(502, "upstream_error"),
    "upstream_bad_response": Kind(502, "upstream_error", retry=False),
    "upstream_redirect": Kind(502, "upstream_error", retry=False),
    "upstream_auth_failed": Kind(502, "upstream_error", retry=False),
    "upstream_tls": Kind(502, "upstream_error", retry=False),
    "draining": Kind(503, "relay_error"),
    "overloaded": Kind(503, "relay_error"),
    "store_unavailable": Kind(503, "relay_error"),
    "upstream_connect_timeout": Kind(504, "upstream_error"),
    "upstream_timeout": Kind(504, "upstream_error", retry=False),
}

# Told inside a stream that is already open; none of them has a status of its own.
IN_STREAM: Mapping[str, str] = {
    "upstream_disconnected": "The upstream broke the connection before its answer was complete.",
    "upstream_incomplete": "The upstream ended before its answer was complete.",
    "upstream_idle_timeout": "The upstream sent nothing for too long.",
    "upstream_bad_response": "The upstream's answer broke the protocol.",
    "deadline_exceeded": "The stream reached the longest time that is allowed.",
    "frame_too_large": "The upstream sent a frame larger than is allowed.",
    "cancelled": "The stream was cancelled.",
    "relay_draining": "The relay is being restarted.",
    "relay_restarted": "The relay process that produced this stream ended.",
    "worker_lost": "The worker process that ran this task ended.",
    "key_revoked": "The key was revoked.",
    "budget_exhausted": "The key's budget is used up.",
    "internal_error": "The relay failed.",
}


class RelayError(Exception):
    """A refusal with a true status. `code` is one of KINDS; `message` is for people and holds nothing secret."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_seconds: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param
        self.retry_after_seconds = retry_after_seconds
        self.extra_headers = headers
        self.upstream_status: int | None = None

    def copy(self) -> "RelayError":
        """The same refusal once more, for another caller: raising one twice would mix up their tracebacks."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.args = self.args
        return other

    @property
    def kind(self) -> Kind:
        """The code's row in KINDS."""
        return KINDS[self.code]

    def headers(self) -> list[tuple[str, str]]:
        """Headers beside the error object: what a client needs to know before it asks again."""
        headers = list(self.extra_headers)
        if self.kind.status == 401:
            headers.append(("WWW-Authenticate", "Bearer"))
        if self.retry_after_seconds is not None:
            headers += retry_headers(self.retry_after_seconds)
        if self.kind.retry is False:
            headers.append(("x-should-retry", "false"))
        return headers


def retry_headers(seconds: float) -> list[tuple[str, str]]:
    """`Retry-After` in whole seconds within 1..60 (RFC 9110 10.2.3), and the SDKs' finer `retry-after-ms`."""
    bounded = min(max(seconds, 0.001), 60.0)
    return [("Retry-After", str(max(1, -int(-bounded // 1)))), ("retry-after-ms", str(-int(-bounded * 1000 // 1)))]


def error_object(code: str, message: str, type_: str, param: str | None = None) -> dict[str, object]:
    """The OpenAI error object, which both official SDKs read."""
    return {"message": message, "type": type_, "param": param, "code": code}
