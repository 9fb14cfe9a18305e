"""An iteration over a real upstream's answer, apart from any server."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gevent
import pytest

from relay.exchange import Exchange
from relay.pump.iteration import Iteration, Truncated
from relay.pump.presence import NoPresence
from tests.pump.partners import STREAM_HEAD, Answering
from tests.pump.stage import CALLER, Ask, Meter, Stage, bounds, flow_for

Iterate = Callable[..., "Iterating"]


class Iterating:
    """The iteration, its upstream, and what became of its exchange: `closed` has a time for each close."""

    def __init__(self, body: Iteration, upstream: Answering, meter: Meter, closed: list[float]) -> None:
        self.body, self.upstream, self.meter, self.closed = body, upstream, meter, closed

    def rest(self) -> bytes:
        """What follows, if it ends as a whole answer does."""
        return b"".join(self.body)

    def rest_of_a_cut(self) -> bytes:
        """What follows until the server is told that this is not whole."""
        out = []
        with pytest.raises(Truncated):
            out.extend(self.body)
        return b"".join(out)


def pause(upstream: Answering) -> None:
    """Say no more for now."""


def begin_iteration(
    stage: Stage,
    opened: ExitStack,
    sent: bytes = STREAM_HEAD,
    *,
    flow: Any = flow_for,
    then: Callable[[Answering], None] = pause,
    **shorter: float,
) -> Iterating:
    """Ask; the upstream says `sent`, and what `then` does, before its answer is in hand."""
    acquired = ExitStack()
    answer = gevent.spawn(acquired.enter_context, stage.upstreams.open([stage.target], Ask(NoPresence())))
    upstream = stage.upstream.next()
    upstream.send(sent)
    then(upstream)
    taken, meter = answer.get(), Meter()
    exchange = Exchange(CALLER, None, taken, flow(taken, NoPresence()), meter)
    closed: list[float] = []
    acquired.callback(lambda: closed.append(time.monotonic()))
    exchange.release_on_close(acquired)
    opened.callback(exchange.close)
    return Iterating(Iteration(exchange, bounds(**shorter)), upstream, meter, closed)
