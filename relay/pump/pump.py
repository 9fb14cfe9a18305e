"""The pump: hands a stream to the event loop, waits for its end, and ends the response honestly."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

import gevent

from relay.core.credentials import KeyRevoked
from relay.core.errors import RelayError
from relay.core.flow import Ending, Flow
from relay.core.kept import Kept
from relay.pump.follower import Follower, Patience
from relay.pump.iteration import Iteration
from relay.pump.linger import Linger
from relay.pump.log_outlet import LogOutlet
from relay.pump.outlet import NewOutlet
from relay.pump.presence import EarlyOpen, NoPresence, Presence, Unattended
from relay.pump.sink import Sink
from relay.pump.source import Answer, Source
from relay.pump.stream import Bounds, Stream
from relay.pump.sweep import Sweep
from relay.pump.takeover import ALREADY_HANDLED, HungUp, Wire, begin_wire, caller_socket, open_wire, raw_socket

# How long an error frame may take to a caller that reads slowly; a whole answer's end has the slow reader's time.
ERROR_SECONDS_MAX = 5.0
# Chromium drops what its page has not read when the broken end comes with it: the page must hear why.
READ_SECONDS = 0.05
NOBODY_READS = ("client_gone", "client_slow", "shed")


class Meter(Protocol):
    """Takes down what was measured."""

    def ended(self, ending: Ending, flow: Flow, bytes_out: int, first_at: float) -> None: ...

    def failed(self, error: BaseException) -> None: ...


class Exchange(Protocol):
    """What the corridor acquired for one request. `close()` releases it, once."""

    names: tuple[str, ...]
    upstream: Answer
    flow: Flow
    meter: Meter

    def close(self) -> None: ...


class ProducedExchange(Exchange, Protocol):
    """One whose flow numbers its frames."""

    flow: Any


class Pump:
    """One per worker. `live`: the streams that are on the loop now, each with its exchange; `followers`: those who
    read logs.
    """

    def __init__(self, bounds: Bounds, early_open_seconds: float, sweep: Sweep) -> None:
        self._sweep = sweep
        self.bound(bounds, early_open_seconds)
        self.live: dict[Stream, Exchange] = {}
        self.followers: set[Follower] = set()
        self._waiting: set[Presence | Unattended] = set()

    def bound(self, bounds: Bounds, early_open_seconds: float) -> None:
        """Set the times for all streams that begin from now on."""
        self._bounds, self._early_open = bounds, EarlyOpen(early_open_seconds, bounds.heartbeat_seconds)

    def presence(self, environ: dict[str, Any], open_wire: Callable[[], Wire] | None) -> Presence | NoPresence:
        """Return the context in which an upstream may be awaited for this caller."""
        sock = caller_socket(environ)
        if sock is None:
            return NoPresence()
        return Presence(sock, self._sweep, open_wire, self._early_open, self._waiting)

    def unattended(self, names: tuple[str, ...]) -> Unattended:
        """Return the context in which an upstream may be awaited for a stream that is kept."""
        return Unattended(names, self._waiting)

    def open_wire(self, start_response: Callable[..., Any], status: str, headers: Iterable[tuple[str, str]]) -> Wire:
        """Send a response's head and take its socket over. Raises CallerGone, CallerSlow."""
        return open_wire(start_response, status, headers, self._bounds.slow_reader_seconds_max)

    def begin_wire(self, start_response: Callable[..., Any], status: str, headers: Iterable[tuple[str, str]]) -> Wire:
        """Take a response's socket over; its head goes with the first bytes."""
        return begin_wire(start_response, status, headers)

    def iterate(self, exchange: Exchange) -> Iteration:
        """Return the exchange's body as an iterable, where there is no socket to take over."""
        return Iteration(exchange, self._bounds)

    def collect(self, exchange: Exchange, bytes_max: int) -> bytes:
        """Return the exchange's whole body, or nothing where it is not whole or larger. The exchange stays open."""
        return Iteration(exchange, self._bounds).collect(bytes_max)

    def deliver(self, exchange: Exchange, wire: Wire, pending: bytes = b"") -> object:
        """Pump the exchange's body into the open response; `pending`: what is owed before it. Ends as `conclude`."""
        stream = self._stream(exchange, partial(Sink, wire))
        stream.sink.pending = pending
        try:
            ending = self._run(stream, exchange)
        except BaseException:
            wire.hang_up()
            raise
        finally:
            wire.sock.settimeout(None)  # as gunicorn had it
        return self.conclude(wire, stream.sink.pending, ending)

    def produce(self, exchange: ProducedExchange, kept: Kept, begun: Callable[[Stream], None]) -> Ending:
        """Pump the exchange's body into a log, whoever reads it; all but its last frame, which `Ending.last` holds.

        `begun` is told of the stream, by which it can be cut.
        """
        stream = self._stream(exchange, partial(LogOutlet, kept, exchange.flow))
        begun(stream)
        return self._run(stream, exchange)

    def follow(self, kept: Kept, after: int, wire: Wire, pending: bytes, ping: bytes) -> Follower:
        """Write a log's frames behind number `after` into the open response, as they come. Ends as `conclude` wants."""
        patience = Patience(self._bounds.slow_reader_seconds_max, self._bounds.heartbeat_seconds, ping)
        follower = Follower(kept, after, wire, self._sweep, patience)
        follower.sink.pending = pending
        self.followers.add(follower)
        try:
            follower.run()
        except BaseException:
            wire.hang_up()
            raise
        finally:
            wire.sock.settimeout(None)
            self.followers.discard(follower)
        return follower

    def conclude(self, wire: Wire, pending: bytes, ending: Ending) -> object:
        """Write what is still owed and end the response: with a last chunk if it is whole, else by hanging up.

        Returns what tells gunicorn that all is done; raises HungUp where the connection is over.
        """
        owed = pending + wire.framed(ending.last) + (wire.last_chunk if ending.whole else b"")
        if ending.end in NOBODY_READS:
            owed = b""
        try:
            sent = self._send(wire, owed, self._bounds.slow_reader_seconds_max if ending.whole else ERROR_SECONDS_MAX)
            if sent and not ending.whole and ending.end not in NOBODY_READS:
                gevent.sleep(READ_SECONDS)
        except BaseException:
            wire.hang_up()
            raise
        if not (sent and ending.whole) or wire.closes:
            wire.hang_up()
            raise HungUp
        return ALREADY_HANDLED

    def keys_in_use(self) -> set[str]:
        """The keys and tokens of all requests that wait or stream now."""
        running = [exchange.names for exchange in self.live.values()]
        return {name for names in (*running, *(presence.names for presence in self._waiting)) for name in names}

    def revoke(self, names: set[str]) -> None:
        """Cut the live streams of these keys and tokens, and the requests that wait for an upstream."""
        for presence in list(self._waiting):
            if not names.isdisjoint(presence.names):
                presence.interrupt_soon(KeyRevoked())
        for stream, exchange in list(self.live.items()):
            if not names.isdisjoint(exchange.names):
                stream.cut("revoked", "key_revoked")

    def shed(self) -> None:
        """End the streams for which most waits, until half of what waits is free."""
        waiting = sorted(self.live, key=lambda stream: len(stream.sink.pending), reverse=True)
        left = sum(len(stream.sink.pending) for stream in waiting) / 2
        for stream in waiting:
            if left <= 0:
                return
            left -= len(stream.sink.pending)
            stream.drop("shed")

    def drain(self) -> None:
        """End what is still running, with a word."""
        for presence in list(self._waiting):
            presence.interrupt_soon(RelayError("draining", "The relay is being restarted.", retry_after_seconds=1.0))
        for stream in list(self.live):
            stream.cut("drained", "relay_draining")
        for follower in list(self.followers):
            if not follower.will_be_told:
                follower.drop("drained")
        if self.followers:
            gevent.spawn_later(ERROR_SECONDS_MAX, self._drop_followers)

    def _send(self, wire: Wire, data: bytes, seconds_max: float) -> bool:
        wire.sock.settimeout(None)
        if not data:
            return True
        try:
            left = data[raw_socket(wire.sock).send(data) :]  # as a rule all of it goes, and no timer is needed
        except BlockingIOError:
            left = data
        except OSError:
            return False
        try:
            if left:
                with gevent.Timeout(seconds_max):
                    wire.sock.sendall(left)
        except (OSError, gevent.Timeout):
            return False
        return True

    def _drop_followers(self) -> None:
        """Those that did not take the last word in time."""
        for follower in list(self.followers):
            follower.drop("drained")

    def _stream(self, exchange: Exchange, outlet: NewOutlet) -> Stream:
        source = Source(exchange.upstream, self._bounds.pending_bytes_max)
        return Stream(source, outlet, exchange.flow, self._sweep, self._bounds)

    def _run(self, stream: Stream, exchange: Exchange) -> Ending:
        """Run it to its end; whatever happens, what it was is taken down and its exchange is closed."""
        self.live[stream] = exchange
        ending = Ending("drained")  # what a killed greenlet leaves behind
        try:
            ending = stream.run()
            self._settle(stream.source, ending, exchange)
        finally:
            del self.live[stream]
            if stream.failure is not None:
                exchange.meter.failed(stream.failure)
            exchange.meter.ended(ending, exchange.flow, stream.bytes_out + len(ending.last), stream.first_at)
            exchange.close()
        return ending

    def _settle(self, source: Source, ending: Ending, exchange: Exchange) -> None:
        """The upstream's connection: back into its pool, or a moment's wait for its last chunk, or left to be
        closed.
        """
        if not ending.whole or exchange.flow.surplus:
            return
        if source.is_reusable:
            source.give_back()
        elif source.may_end_soon:
            Linger(source, self._sweep, exchange.upstream.leave_open())
