"""One relay worker in small: gunicorn's own connection loop, the real upstream room and pump, and a corridor of a few
lines.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gevent
from gevent import socket
from gevent.ssl import SSLContext
from gunicorn.config import Config
from gunicorn.workers.ggevent import GeventWorker

from relay.core.caller import Caller as KeyOwner
from relay.core.dialects import OPENAI
from relay.core.errors import RelayError
from relay.core.flow import Ending, Flow
from relay.core.head import content_type, is_event_stream
from relay.core.keys import KeyPolicy
from relay.core.plain_flow import PlainFlow, WrappedFlow
from relay.core.scrub import Scrubber
from relay.core.sse_flow import SseFlow
from relay.core.targets import Target
from relay.exchange import Exchange
from relay.pump.departure import CallerGone
from relay.pump.pump import Pump
from relay.pump.stream import Bounds
from relay.pump.sweep import Sweep
from relay.pump.takeover import HungUp, hang_up
from relay.upstream.upstreams import Upstreams
from tests.pump.partners import Answering, Caller, Upstream

KEY = "key_0000000000000000"
CALLER = KeyOwner(KEY, KeyPolicy())
FRAME_BYTES_MAX = 65_536
LONG = Bounds(
    heartbeat_seconds=60,
    idle_seconds_max=60,
    total_seconds_max=60,
    slow_reader_seconds_max=60,
    pending_bytes_max=262_144,
)
EVENTS = (("Content-Type", "text/event-stream"),)
Streaming = Callable[..., tuple["Stage", Caller, Answering]]


@dataclass(frozen=True)
class Tls:
    """What the upstream serves with, and the file of the authority that the relay trusts."""

    server: SSLContext
    ca_file: str


class Log:
    """gunicorn's logger; `failures` is what an operator would have to look at."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def debug(self, *args: object) -> None: ...

    def info(self, *args: object) -> None: ...

    def access(self, *args: object) -> None: ...

    def warning(self, message: str, *args: object) -> None:
        self.failures.append(message % args if args else message)

    error = exception = warning


@dataclass
class Meter:
    """Takes down what the pump tells; only the last `ended` counts, as in a log line."""

    endings: list[Ending] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    bytes_out: int = 0
    first_at: float = 0.0

    def ended(self, ending: Ending, flow: Flow, bytes_out: int, first_at: float) -> None:
        self.endings.append(ending)
        self.bytes_out, self.first_at = bytes_out, first_at

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)

    @property
    def end(self) -> str:
        return self.endings[-1].end


@dataclass
class Ask:
    """What goes to the upstream."""

    presence: Any
    method: str = "POST"
    upstream_path: str = "/chat/completions"
    body: bytes = b""

    def headers_for(self, target: Target) -> dict[str, str]:
        return {"User-Agent": "relay"}


class Stage:
    """What a test sets, and what it may look at afterwards.

    `streams`: whether the caller asked for a stream. `flow_for`: replaces the flow. `on_close`: runs where the slot is
    freed. `upstreams_taken`, `meters`: one for each exchange.
    """

    def __init__(self, sweep: Sweep, bounds: Bounds, early_open_seconds: float, tls: Tls | None) -> None:
        self.sweep, self.log = sweep, Log()
        self.pump = Pump(bounds, early_open_seconds, sweep)
        self.upstream = Upstream(tls and tls.server)
        scheme, ca_file = ("https", tls.ca_file) if tls else ("http", "")
        self.target = Target("test", f"{scheme}://127.0.0.1:{self.upstream.port}/v1", "sk-test", ca_file=ca_file)
        self.upstreams = self._upstreams()
        self.streams = True
        self.flow_for: Callable[[Any, Any], Flow] = flow_for
        self.on_close: Callable[[], None] = lambda: None
        self.upstreams_taken: list[Any] = []
        self.meters: list[Meter] = []
        self.refusals: list[str] = []
        self.closed = 0
        self.sndbuf_bytes = 0
        self.served: list[gevent.Greenlet] = []
        self._callers: list[Caller] = []
        config = Config()
        config.set("keepalive", 60)  # what closes earlier was closed by the relay
        self._worker = GeventWorker(0, os.getpid(), [], None, 30, config, self.log)
        self._worker.wsgi = self._answer
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)

    @property
    def meter(self) -> Meter:
        return self.meters[-1]

    @property
    def end(self) -> str:
        return self.meter.end

    def caller(self, rcvbuf_bytes: int = 0) -> Caller:
        """Connect one more caller; gunicorn's loop serves it in a greenlet of its own."""
        sock = socket.socket()
        if rcvbuf_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf_bytes)
        sock.connect(self._listener.getsockname())
        self._callers.append(Caller(sock))
        served, address = self._listener.accept()
        served.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as gunicorn's listeners do
        if self.sndbuf_bytes:
            served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.sndbuf_bytes)
        self.served.append(gevent.spawn(self._worker.handle, self._listener, served, address))
        return self._callers[-1]

    def begin(self, caller: Caller, *framing: str, kind: str = "text/event-stream", version: str = "1.1") -> Answering:
        """Have the caller ask, and its upstream answer with a head; return the upstream's connection."""
        caller.ask(version)
        upstream = self.upstream.next()
        upstream.head(*framing, kind=kind)
        caller.until(b"\r\n\r\n")
        return upstream

    def close(self) -> None:
        """Hang everybody up, and wait until the worker has seen it."""
        for caller in self._callers:
            caller.close()
        self.upstream.close()
        gevent.joinall(self.served, timeout=5)
        for pool in self.upstreams._pools.values():
            pool.retire()
        self._listener.close()
        self._worker.tmp.close()

    def _upstreams(self) -> Upstreams:
        return Upstreams([self.target], connect_seconds_max=2, first_byte_seconds_max=5, connections_max=4)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        """What the web room does, without Flask."""
        open_early = partial(self.pump.open_wire, start_response, "200 OK", EVENTS) if self.streams else None
        presence = self.pump.presence(environ, open_early)
        presence.names = (KEY,)
        try:
            exchange = self._open_exchange(presence)
        except CallerGone as gone:
            self.refusals.append(gone.end)
            hang_up(environ["gunicorn.socket"])
            raise HungUp from None
        except RelayError as error:
            return self._refuse(error, presence, start_response)
        status, head = f"{exchange.upstream.status} X", head_of(exchange.upstream)
        wire = presence.wire or self.pump.begin_wire(start_response, status, head)
        return self.pump.deliver(exchange, wire, presence.take_pending())

    def _open_exchange(self, presence: Any) -> Exchange:
        with ExitStack() as acquired:
            acquired.callback(self._close_exchange)
            upstream = acquired.enter_context(self.upstreams.open([self.target], Ask(presence)))
            self.upstreams_taken.append(upstream)
            self.meters.append(Meter())
            exchange = Exchange(CALLER, None, upstream, self.flow_for(upstream, presence), self.meter)
            exchange.release_on_close(acquired.pop_all())
            return exchange

    def _close_exchange(self) -> None:
        self.closed += 1
        self.on_close()

    def _refuse(self, error: RelayError, presence: Any, start_response: Any) -> Any:
        self.refusals.append(error.code)
        if presence.wire is None:
            start_response(f"{error.kind.status} X", [("Content-Length", "0")])
            return []
        told = OPENAI.error_frame(error.code, error.message, error.kind.type, error.kind.status)
        return self.pump.conclude(presence.wire, presence.take_pending(), Ending("upstream_eof", told))


def flow_for(upstream: Any, presence: Any) -> Flow:
    """The flow for an answer, as the assembly chooses it."""
    if is_event_stream(content_type(upstream.headers)):
        return SseFlow(OPENAI, Scrubber(""), FRAME_BYTES_MAX)
    if presence.wire is not None:
        return WrappedFlow(OPENAI, Scrubber(""), upstream.status)
    return PlainFlow(Scrubber(""), None)


def head_of(upstream: Any) -> list[tuple[str, str]]:
    """The response headers: type, and the length where the upstream declared one."""
    length = upstream.decoder.length_bytes
    framing = [] if length is None else [("Content-Length", str(length))]
    return [("Content-Type", content_type(upstream.headers)), *framing]


def bounds(**shorter: float) -> Bounds:
    """Bounds that are out of the way but for these."""
    return replace(LONG, **shorter)
