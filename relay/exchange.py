"""The walk of one request through the rooms, as far as its upstream's answer."""

from contextlib import ExitStack
from typing import Any

from relay.core.caller import Caller
from relay.core.flow import Flow


class Exchange:
    """What one request holds: an upstream's answer, its flow and its meter. `close()` releases all of it, once.

    `names`: what a revocation may name to end it; `held`: what it holds of its caller's limits.
    """

    def __init__(self, caller: Caller, held: Any, upstream: Any, flow: Flow, meter: Any) -> None:
        self.names, self.held = caller.names, held
        self.upstream, self.flow, self.meter = upstream, flow, meter
        self._acquired = ExitStack()

    def release_on_close(self, acquired: ExitStack) -> None:
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
    with ExitStack() as acquired:
        targets = relay.routing.targets_for(request.model, caller)
        acquired.enter_context(relay.gate.admit(caller, request))
        relay.accountant.sending(request)
        upstream = acquired.enter_context(relay.upstreams.open(targets, request))
        request.body = None  # it is sent, and never again: a prompt must not take memory as long as its answer streams
        meter = acquired.enter_context(relay.accountant.meter(request, upstream))
        exchange = Exchange(caller, request.held, upstream, relay.flow_for(request, upstream), meter)
        exchange.release_on_close(acquired.pop_all())  # two lines on purpose: an argument would leak if the call raised
        return exchange
