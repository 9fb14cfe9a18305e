"""When nothing good comes back from an upstream: whose fault it was, and whether asking again is safe."""

import errno
from collections.abc import Iterator
from typing import Protocol

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from relay.core import head
from relay.core.errors import RelayError
from relay.upstream.connections import ConnectDeadline, HandshakeFailed

AUTH_STATUSES = (401, 403)


class Answered(Protocol):
    """An answer whose head is in hand."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> head.Headers: ...


def delay_after(error: NewConnectionError, delays: Iterator[float]) -> float:
    """How long to wait before connecting again. Raises RelayError when it is no use."""
    if _lacks_descriptors(error):
        raise RelayError("overloaded", "The relay has no room for more requests.") from None
    delay = next(delays, None)
    if delay is None:
        raise RelayError("upstream_unreachable", "The upstream cannot be reached.") from None
    return delay


def _lacks_descriptors(error: BaseException | None) -> bool:
    """Whether it is our own process that can open no more connections."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        error = error.__cause__ or error.__context__
    return False


def refusal_for(error: BaseException) -> BaseException:
    """What is told of a failure; what is none of the upstream's stays as it is."""
    if isinstance(error, (ConnectDeadline, ConnectTimeoutError)):
        return RelayError("upstream_connect_timeout", "The upstream did not connect in time.")
    if isinstance(error, HandshakeFailed):
        return RelayError("upstream_tls", "A trusted TLS connection to the upstream failed.")
    if isinstance(error, (HTTPError, head.BadHead, OSError, ValueError)):
        return bad_response()
    return error


def bad_response() -> RelayError:
    return RelayError("upstream_bad_response", "The upstream's answer is not valid HTTP.")


def refuse_unusable(upstream: Answered) -> None:
    """What must not reach a caller as it is."""
    refusal = _refusal(upstream.status, head.is_encoded(upstream.headers)) or _missing(upstream)
    if refusal is not None:
        error = RelayError(*refusal)
        error.upstream_status = upstream.status
        raise error


def _missing(upstream: Answered) -> tuple[str, str] | None:
    """A stream without a body would pass for one that was whole and empty."""
    if upstream.status in head.BODILESS and head.is_event_stream(head.content_type(upstream.headers)):
        return "upstream_bad_response", "The upstream announced a stream and sent none."
    return None


def _refusal(status: int, is_encoded: bool) -> tuple[str, str] | None:
    if status in AUTH_STATUSES:
        return "upstream_auth_failed", "The upstream refused the relay's own credentials."
    if 300 <= status < 400 and status != 304:
        return "upstream_redirect", "The upstream answered with a redirect, which is not followed."
    if status < 200:  # an interim answer that http.client took for the final one
        return "upstream_bad_response", "The upstream's answer is not valid HTTP."
    if is_encoded:
        return "upstream_bad_response", "The upstream compressed its answer although it was asked not to."
    return None
