"""The walk of one request through the rooms, as far as its upstream's answer."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, TypeVar

from relay.core.caller import Caller
from relay.core.flow import Flow

T = TypeVar("T")


class Held(Protocol):
    """What can be given back."""

    def close(self) -> None: ...


class Acquired:
    """What the rooms gave, released in reverse order, each part once, also where another fails.

    As much of ExitStack as the corridor needs, at a third of its time and memory; no room swallows an error.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[AbstractContextManager[Any]] = []

    def __enter__(self) -> "Acquired":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed: BaseException | None = None
        while self._parts:
            try:
                self._parts.pop().__exit__(kind, error, trace)
            except BaseException as own:
                kind, error, trace = type(own), own, own.__traceback__
                failed = own
        if failed is not None:
            raise failed

    def take(self, part: AbstractContextManager[T]) -> T:
        """Enter it; from now on it is released with the others."""
        given = part.__enter__()
        self._parts.append(part)
        return given

    def hand_over(self) -> "Acquired":
        """Return all that was taken; here nothing is left to release."""
        others = Acquired()
        others._parts, self._parts = self._parts, []
        return others

    def close(self) -> None:
        self.__exit__(None, None, None)


class Exchange:
    """What one request holds: an upstream's answer, its flow and its meter. `close()` releases all of it, once.

    `names`: what a revocation may name to end it; `held`: what it holds of its caller's limits.
    """

    def __init__(self, caller: Caller, held: Any, upstream: Any, flow: Flow, meter: Any) -> None:
        self.names, self.held = caller.names, held
        self.upstream, self.flow, self.meter = upstream, flow, meter
        self._acquired: Held = Acquired()

    def release_on_close(self, acquired: Held) -> None:
        """Take over what the corridor acquired."""
        self._acquired = acquired

    def close(self) -> None:
        """Account, close the upstream, free the slot. Idempotent."""
        self._acquired.close()


def enter(relay: Any, request: Any) -> Any:
    """Who asks, and for what: the first two rooms, which acquire nothing. Returns the caller. Raises RelayError."""
    caller = relay.authenticator.identify(request.credentials)
    request.receive_from(caller)
    return caller


def open_exchange(relay: Any, caller: Any, request: Any) -> Exchange:
    """Walk a known caller's request as far as its upstream's answer.

    Each room may refuse with a RelayError; what earlier rooms acquired is then released.
    """
    with Acquired() as acquired:
        targets = relay.routing.targets_for(request.model, caller)
        acquired.take(relay.gate.admit(caller, request))
        relay.accountant.sending(request)
        upstream = acquired.take(relay.upstreams.open(targets, request))
        request.body = None  # it is sent, and never again: a prompt must not take memory as long as its answer streams
        meter = acquired.take(relay.accountant.meter(request, upstream))
        exchange = Exchange(caller, request.held, upstream, relay.flow_for(request, upstream), meter)
        exchange.release_on_close(acquired.hand_over())  # two lines: an argument would leak if the call raised
        return exchange
