"""Settings -> Relay: the only place that builds rooms and hands them to each other."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from relay.accounting import Accountant
from relay.admission import Gate
from relay.authentication import CACHE_SECONDS, Authenticator, RevocationWatch
from relay.core.errors import RelayError
from relay.core.flow import Flow, PlainFlow, SseFlow, WrappedFlow
from relay.core.head import is_event_stream
from relay.core.scrub import Scrubber
from relay.core.targets import Routing, Target
from relay.demo.server import DemoUpstream
from relay.logs import Log
from relay.loop import Loop, WriterThread
from relay.probe import Probe
from relay.pump.pump import Pump
from relay.pump.stream import Bounds
from relay.pump.sweep import NEVER, Sweep
from relay.stores.database import open_database
from relay.stores.keys import KeyStore
from relay.stores.rates import MemoryRates
from relay.stores.slots import MemorySlots
from relay.upstream.upstreams import Upstreams

# How long a worker that ends may wait for whoever reads its log.
LAST_LINES_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Relay:
    """The rooms of one worker process."""

    settings: Settings
    authenticator: Authenticator
    routing: Routing
    gate: Gate
    upstreams: Upstreams
    accountant: Accountant
    pump: Pump
    probe: Probe
    log: Log
    loop: Loop
    start: Callable[[], None]

    def stop(self) -> None:
        """End the background work and write what is left to write."""
        self.loop.stop()
        self.log.flush(LAST_LINES_SECONDS_MAX)

    def flow_for(self, request: Any, upstream: Any) -> Flow:
        """Return what the answer's body means."""
        scrubber = Scrubber(upstream.target.api_key)
        if is_event_stream(upstream.content_type):
            return SseFlow(request.route.dialect, scrubber, self.settings.stream.frame_bytes_max)
        if request.presence.wire is not None:
            return WrappedFlow(request.route.dialect, scrubber, upstream.status)
        is_json = "json" in upstream.content_type
        return PlainFlow(scrubber, bytearray() if is_json else None)

    def body_deadline(self) -> AbstractContextManager[object]:
        """The time in which a request's body must be there."""
        error = RelayError("request_timeout", "The request body did not arrive in time.")
        return self.loop.deadline(self.settings.server.body_seconds_max, error)


def assemble(settings: Settings) -> Relay:
    """Build a worker's relay. Called inside the worker, after gevent's patching. Raises StoreError."""
    log = Log(WriterThread())
    loop = Loop(log.failure)
    keys = KeyStore(open_database(settings.stores.database_url, loop.in_thread))
    targets = _targets(settings)
    upstreams = _upstreams(settings, targets)
    pump = _pump(settings, Sweep(log.failure))
    probe = Probe(lambda: upstreams.probe(targets[0], settings.health.probe_path), settings.health.probe_seconds)
    watch = RevocationWatch(keys, pump.keys_in_use, pump.revoke)

    def start() -> None:
        loop.every(CACHE_SECONDS, "revocation", watch.look)
        loop.every(settings.health.probe_seconds, "probe", probe.measure)

    return Relay(
        settings=settings,
        authenticator=Authenticator(keys),
        routing=Routing(targets, {}, pass_unknown=settings.models.pass_unknown),
        gate=Gate(MemorySlots(), MemoryRates()),
        upstreams=upstreams,
        accountant=Accountant(log.write, log.failure, settings.models.prices),
        pump=pump,
        probe=probe,
        log=log,
        loop=loop,
        start=start,
    )


def _targets(settings: Settings) -> list[Target]:
    if settings.uses_demo:
        demo = DemoUpstream()
        demo.start()
        return [Target("demo", demo.base_url, "")]
    return [
        Target(u.name, u.base_url, u.api_key, u.auth, tuple(u.forward_headers), u.ca_file) for u in settings.upstreams
    ]


def _upstreams(settings: Settings, targets: list[Target]) -> Upstreams:
    return Upstreams(
        targets,
        connect_seconds_max=settings.stream.connect_seconds_max,
        first_byte_seconds_max=settings.stream.first_byte_seconds_max,
        connections_max=settings.server.connections_per_worker,
    )


def _pump(settings: Settings, sweep: Sweep) -> Pump:
    stream = settings.stream
    bounds = Bounds(
        heartbeat_seconds=stream.heartbeat_seconds or NEVER,
        idle_seconds_max=stream.idle_seconds_max,
        total_seconds_max=stream.total_seconds_max,
        slow_reader_seconds_max=stream.slow_reader_seconds_max,
    )
    return Pump(bounds, stream.early_open_seconds, sweep)
