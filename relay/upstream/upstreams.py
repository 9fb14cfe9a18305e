"""Sends a request to an upstream and brings its answer's head, or a refusal that says whose fault it was."""

import errno
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from http.client import HTTPException
from types import MappingProxyType
from typing import Any, Protocol

import gevent
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
)

from relay.core import head
from relay.core.body import BodyDecoder
from relay.core.errors import RelayError
from relay.core.retries import connect_delays
from relay.core.targets import Target
from relay.upstream.connections import ConnectDeadline, HandshakeFailed, begin_connecting
from relay.upstream.pool import Pool

AUTH_STATUSES = (401, 403)
# With the default turn of 10 s an upstream that hangs is told within 15.
PROBE_SECONDS_MAX = 4.0
# One request, one answer: nothing is retried, followed, decoded or read behind our back.
AS_IT_COMES: Mapping[str, Any] = MappingProxyType(
    {
        "retries": False,
        "redirect": False,
        "assert_same_host": False,
        "preload_content": False,
        "decode_content": False,
        "release_conn": False,
    }
)


class HeadDeadline(gevent.Timeout):  # type: ignore[misc]
    """The answer's head took too long, however steadily it dripped."""


class Outgoing(Protocol):
    """What is sent. `body`: bytes or a reader. `presence`: the context in which to wait for the caller's sake."""

    @property
    def method(self) -> str: ...

    @property
    def upstream_path(self) -> str: ...

    @property
    def body(self) -> Any: ...

    @property
    def presence(self) -> AbstractContextManager[Any]: ...

    def headers_for(self, target: Target) -> dict[str, str]: ...


@dataclass(slots=True)
class Upstream:
    """An answer whose head is in hand; its body is still on the socket. `connect_seconds`: None if it was connected."""

    target: Target
    response: Any
    status: int
    headers: head.Headers
    decoder: BodyDecoder
    keeps_alive: bool
    connect_seconds: float | None = None
    _left_open: bool = False

    @property
    def content_type(self) -> str:
        return head.without_secret(head.content_type(self.headers), self.target.api_key)

    def leave_open(self) -> Callable[[], None]:
        """From now on somebody else decides about the connection; return what closes it."""
        self._left_open = True
        return self.response.close  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connection, which stops the upstream's work. Idempotent."""
        if not self._left_open:
            self._left_open = True
            self.response.close()


class Upstreams:
    """Opens requests to upstreams over pooled connections, one pool per place that they lead to."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        connect_seconds_max: float,
        first_byte_seconds_max: float,
        connections_max: int,
    ) -> None:
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its lines hold paths and headers
        self._connections_max = connections_max
        self._pools: dict[tuple[str, str], Pool] = {}
        self.aim(targets, connect_seconds_max, first_byte_seconds_max)

    def aim(self, targets: Sequence[Target], connect_seconds_max: float, first_byte_seconds_max: float) -> None:
        """Lead to these from now on. Connections to other places, or trusted by a file that may have changed, end with
        the request that they carry.
        """
        self._connect_seconds_max, self._head_seconds_max = connect_seconds_max, first_byte_seconds_max
        places = {_place_of(target) for target in targets if not target.ca_file}
        for place in self._pools.keys() - places:
            self._pools.pop(place).at_hand.retire()
        for target in targets:
            self._pool_of(target)

    def drop_stale(self) -> None:
        """Close connections that would not be used again; called now and then."""
        for pool in self._pools.values():
            pool.at_hand.drop_stale()

    @contextmanager
    def open(self, targets: Sequence[Target], request: Outgoing) -> Iterator[Upstream]:
        """Send `request` and yield the answer; its connection is closed on leaving, unless it went back to its pool.

        Raises RelayError upstream_* (core/errors.py), and whatever `request.presence` raises when the caller leaves.
        """
        target = targets[0]
        with ExitStack() as held:
            with request.presence:  # which may raise also when the answer is there
                upstream = self._send(target, request)
                held.callback(upstream.close)
            _refuse_unusable(upstream)
            yield upstream

    def probe(self, target: Target, path: str) -> None:
        """Ask for something that is never billed.

        Raises RelayError where the upstream does not answer as one that works, or not within PROBE_SECONDS_MAX.
        """
        late = RelayError("upstream_timeout", "The upstream did not answer in time.")
        with gevent.Timeout(PROBE_SECONDS_MAX, late), self.open([target], _Question(path)) as upstream:
            if upstream.status >= 500:
                raise bad_response()

    def _pool_of(self, target: Target) -> Pool:
        place = _place_of(target)
        if place not in self._pools:
            self._pools[place] = Pool(target, self._connections_max)
        return self._pools[place]

    def _send(self, target: Target, request: Outgoing) -> Upstream:
        headers = {**request.headers_for(target), **target.credential(), "Accept-Encoding": "identity"}
        pool = self._pool_of(target)
        connecting = begin_connecting(self._connect_seconds_max)
        try:
            with HeadDeadline(self._head_seconds_max):
                upstream = _in_hand(target, self._attempt(pool, request, headers))
        except HeadDeadline:
            raise RelayError("upstream_timeout", "The upstream did not answer in time.") from None
        upstream.connect_seconds = connecting.spent_seconds
        return upstream

    def _attempt(self, pool: Pool, request: Outgoing, headers: dict[str, str]) -> Any:
        """Connect again where nothing was sent; what was sent is never sent twice."""
        delays, url, send = connect_delays(), pool.path + request.upstream_path, pool.connections.urlopen
        while True:
            try:
                return send(request.method, url, body=request.body, headers=headers, timeout=None, **AS_IT_COMES)
            except NewConnectionError as error:
                if _lacks_descriptors(error):
                    raise RelayError("overloaded", "The relay has no room for more requests.") from None
                delay = next(delays, None)
                if delay is None:
                    raise RelayError("upstream_unreachable", "The upstream cannot be reached.") from None
                gevent.sleep(delay)
            except (ConnectDeadline, ConnectTimeoutError):
                raise RelayError("upstream_connect_timeout", "The upstream did not connect in time.") from None
            except HandshakeFailed:
                raise RelayError("upstream_tls", "A trusted TLS connection to the upstream failed.") from None
            except (HTTPError, HTTPException, OSError, ValueError):
                raise bad_response() from None


@dataclass(frozen=True, slots=True)
class _Question:
    """A request of the relay's own."""

    upstream_path: str
    method: str = "GET"
    body: None = None
    presence: AbstractContextManager[Any] = field(default_factory=nullcontext)

    def headers_for(self, target: Target) -> dict[str, str]:
        return {"User-Agent": "relay"}


def _place_of(target: Target) -> tuple[str, str]:
    return target.base_url, target.ca_file


def _lacks_descriptors(error: BaseException | None) -> bool:
    """Whether it is our own process that can open no more connections."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        error = error.__cause__ or error.__context__
    return False


def bad_response() -> RelayError:
    return RelayError("upstream_bad_response", "The upstream's answer is not valid HTTP.")


def _in_hand(target: Target, response: Any) -> Upstream:
    headers = tuple(response.headers.items())
    http11 = response.version == 11  # urllib3's spelling of HTTP/1.1
    try:
        decoder = head.framing(headers, http11=http11)
    except head.BadHead:
        response.close()
        raise bad_response() from None
    return Upstream(target, response, response.status, headers, decoder, head.keeps_alive(headers, http11=http11))


def _refuse_unusable(upstream: Upstream) -> None:
    """What must not reach a caller as it is."""
    refusal = _refusal(upstream.status, head.is_encoded(upstream.headers))
    if refusal is not None:
        error = RelayError(*refusal)
        error.upstream_status = upstream.status
        raise error


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
