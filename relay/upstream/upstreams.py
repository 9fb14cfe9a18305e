"""Sends a request to an upstream and brings its answer's head, or a refusal that says whose fault it was."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import gevent
from urllib3.exceptions import NewConnectionError

from relay.core import head
from relay.core.body import BodyDecoder
from relay.core.errors import RelayError
from relay.core.retries import connect_delays
from relay.core.targets import Target
from relay.upstream.connections import Connecting
from relay.upstream.pool import Pool
from relay.upstream.refusals import bad_response, delay_after, refusal_for, refuse_unusable
from relay.upstream.sending import ask

# With the default turn of 10 s an upstream that hangs is told within 15.
PROBE_SECONDS_MAX = 4.0


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
    """An answer whose head is in hand; its body is still on the socket, but for what is `buffered`.

    `connect_seconds`: None where a connection was at hand. `content_type`: without the upstream's key, should it be
    in there.
    """

    target: Target
    status: int
    headers: head.Headers
    content_type: str
    decoder: BodyDecoder
    keeps_alive: bool
    buffered: bytes
    connection: Any
    connect_seconds: float | None
    _put: Callable[[Any], None]
    _left_open: bool = False

    @property
    def sock(self) -> Any:
        return self.connection.sock

    def leave_open(self) -> Callable[[], None]:
        """From now on somebody else decides about the connection; return what closes it."""
        self._left_open = True
        return self.connection.close  # type: ignore[no-any-return]

    def give_back(self) -> None:
        """The answer ended exactly: the connection may carry another request."""
        self._left_open = True
        self._put(self.connection)

    def close(self) -> None:
        """Close the connection, which stops the upstream's work. Idempotent."""
        if not self._left_open:
            self._left_open = True
            self.connection.close()


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
        pools: dict[tuple[str, str], Pool] = {}
        for target in targets:  # may raise; nothing has changed then
            place = _place_of(target)
            kept = None if target.ca_file else self._pools.get(place)
            pools[place] = pools.get(place) or kept or Pool(target, self._connections_max)
        before, self._pools = self._pools, pools
        self._connect_seconds_max, self._head_seconds_max = connect_seconds_max, first_byte_seconds_max
        for place, pool in before.items():
            if pools.get(place) is not pool:
                pool.retire()

    def close(self) -> None:
        """Close what is at hand; what is in use ends with its request."""
        self.aim((), self._connect_seconds_max, self._head_seconds_max)

    def drop_stale(self) -> None:
        """Close connections that would not be used again; called now and then."""
        for pool in self._pools.values():
            pool.drop_stale()

    def open(self, targets: Sequence[Target], request: Outgoing) -> "_Opening":
        """Send `request` and yield the answer; its connection is closed on leaving, unless it went back to its pool.

        Raises RelayError upstream_* (core/errors.py), and whatever `request.presence` raises when the caller leaves.
        """
        return _Opening(self._send, targets[0], request)

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
        try:
            with HeadDeadline(self._head_seconds_max):
                return self._attempt(target, self._pool_of(target), request)
        except HeadDeadline:
            raise RelayError("upstream_timeout", "The upstream did not answer in time.") from None

    def _attempt(self, target: Target, pool: Pool, request: Outgoing) -> Upstream:
        """Connect again where nothing was sent; what was sent is never sent twice."""
        headers = {**request.headers_for(target), **target.credential(), "Accept-Encoding": "identity"}
        line, delays = (request.method, pool.path + request.upstream_path, pool.host), connect_delays()
        connecting = Connecting(time.monotonic() + self._connect_seconds_max)
        while True:
            connection = pool.take()
            connection.connecting = connecting
            try:
                answer, buffered = ask(connection, line, headers, request.body)
                decoder = head.body_of(answer.status, answer.headers, http11=answer.http11)
            except NewConnectionError as error:
                delay = delay_after(error, delays)
            except BaseException as error:
                connection.close()
                raise refusal_for(error) from None
            else:
                return Upstream(
                    target=target,
                    status=answer.status,
                    headers=answer.headers,
                    content_type=head.without_secret(head.content_type(answer.headers), target.api_key),
                    decoder=decoder,
                    keeps_alive=head.keeps_alive(answer.headers, http11=answer.http11),
                    buffered=buffered,
                    connection=connection,
                    connect_seconds=connecting.spent_seconds,
                    _put=pool.put,
                )
            gevent.sleep(delay)


class _Opening:
    """The context of one answer; a class, because a generator costs each request three times as much."""

    __slots__ = ("_request", "_send", "_target", "_upstream")

    def __init__(self, send: Callable[[Target, Outgoing], Upstream], target: Target, request: Outgoing) -> None:
        self._send, self._target, self._request = send, target, request
        self._upstream: Upstream | None = None

    def __enter__(self) -> Upstream:
        try:
            with self._request.presence:  # which may raise also when the answer is there
                self._upstream = self._send(self._target, self._request)
            refuse_unusable(self._upstream)
        except BaseException:
            self.__exit__()
            raise
        return self._upstream

    def __exit__(self, *error: object) -> None:
        if self._upstream is not None:
            self._upstream.close()


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
