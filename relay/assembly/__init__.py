"""Settings -> Relay: the only place that builds rooms and hands them to each other."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any

from config.control import control_directory
from config.settings import Settings
from relay.accounting import Accountant
from relay.admission import Gate
from relay.assembly import parts
from relay.assembly.flows import flow_for
from relay.authentication import CACHE_SECONDS, Authenticator, RevocationWatch
from relay.bookkeeping import TURN_SECONDS, Bookkeeper
from relay.capacity import MEASURE_SECONDS, Capacity
from relay.connections.connections import Connections
from relay.control import Control
from relay.core.errors import RelayError
from relay.core.flow import Flow
from relay.core.targets import Routing, Target
from relay.lifecycle import Lifecycle
from relay.logs import Log
from relay.loop import Loop, WriterThread
from relay.metrics import Metrics
from relay.probe import Probe
from relay.pump.pump import Pump
from relay.pump.sweep import Sweep
from relay.spending.holds import Unsettled
from relay.spending.watch import LOOK_SECONDS as SPENDING_SECONDS
from relay.spending.watch import SpendingWatch
from relay.stores.budgets import Budgets
from relay.stores.database import StoreError, open_database
from relay.stores.keys import KeyStore
from relay.stores.ledger import Ledger
from relay.stores.redis_listener import RECONNECT_SECONDS
from relay.stores.revocations import Revocations
from relay.stores.secret import open_secret
from relay.stores.shared import TEND_SECONDS, Limits, open_limits
from relay.stores.streams_redis import open_streams
from relay.streams.live import LiveStreams
from relay.streams.streams import LOOK_SECONDS, Streams
from relay.tasks.tasks import SWEEP_SECONDS, Tasks
from relay.tokens import TokenSigner
from relay.upstream.connections import POOLED_SECONDS_MAX
from relay.upstream.upstreams import Upstreams

# How long a worker that ends may wait for whoever reads its log.
LAST_LINES_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Relay:
    """The rooms of one worker process."""

    settings: Settings
    secret: bytes
    authenticator: Authenticator
    targets: list[Target]
    routing: Routing
    gate: Gate
    signer: TokenSigner
    revocations: Revocations
    unsettled: Unsettled
    limits: Limits
    upstreams: Upstreams
    accountant: Accountant
    keys: KeyStore
    ledger: Ledger
    metrics: Metrics
    bookkeeper: Bookkeeper
    pump: Pump
    probe: Probe
    log: Log
    loop: Loop
    connections: Connections
    capacity: Capacity
    streams: Streams
    tasks: Tasks
    control: Control
    lifecycle: Lifecycle
    start: Callable[[], None]

    def stop(self) -> None:
        """End the background work and write what is left to write."""
        self.control.close()
        with suppress(TimeoutError), self.loop.deadline(LAST_LINES_SECONDS_MAX, TimeoutError()):
            self.tasks.close()
            self.streams.close()
        self.loop.stop()
        self.upstreams.close()
        with suppress(TimeoutError), self.loop.deadline(LAST_LINES_SECONDS_MAX, TimeoutError()):
            self.bookkeeper.flush()
            self.limits.close()
        self.log.flush(LAST_LINES_SECONDS_MAX)

    def has_stores(self) -> bool:
        """Whether keys can be looked up."""
        try:
            self.keys.revoked_among({"key_none"})
        except StoreError:
            return False
        return True

    def slots_held(self, key_id: str) -> int:
        """Number of slots that the key holds now."""
        return self.limits.slots.held(key_id)

    def flow_for(self, request: Any, upstream: Any) -> Flow:
        """Return what the answer's body means."""
        return flow_for(request, upstream, self.settings.stream.frame_bytes_max)

    def body_deadline(self, spent_seconds: float) -> AbstractContextManager[object]:
        """What is left of the time in which a request's body must be there."""
        error = RelayError("request_timeout", "The request body did not arrive in time.")
        return self.loop.deadline(max(0.0, self.settings.server.body_seconds_max - spent_seconds), error)


def assemble(settings: Settings, reload: Callable[[], None]) -> Relay:
    """Build a worker's relay. Called inside the worker, after gevent's patching. Raises StoreError.

    `reload`: what the worker does when it is asked to read its configuration again.
    """
    log = Log(WriterThread())
    loop = Loop(log.failure)
    database = open_database(settings.stores.database_url, loop.in_thread)
    keys = KeyStore(database)
    targets = parts.targets(settings)
    upstreams = parts.upstreams(settings, targets)
    pump = Pump(parts.bounds(settings), settings.stream.early_open_seconds, Sweep(log.failure))
    probe = Probe(parts.question(settings, targets, upstreams), settings.health.probe_seconds)
    watch = RevocationWatch(keys, pump.keys_in_use, pump.revoke)
    unsettled = Unsettled(Budgets(database))
    spending = SpendingWatch(lambda: pump.live, unsettled)
    secret = open_secret(settings.auth.token_secret, settings.stores.database_url)
    signer = TokenSigner(secret)
    limits = open_limits(
        settings.stores.redis_url, settings.server.workers, settings.limits.on_store_error, log.failure
    )
    ledger = Ledger(database)
    bookkeeper = Bookkeeper(ledger.write, log.failure)
    metrics = Metrics(settings.models.prices, settings.server.workers)
    connections = Connections(settings.server.connections_per_worker)
    capacity = Capacity(lambda: connections.is_full, pump.shed, settings.server.memory_bytes_max)
    store = open_streams(settings.stores.redis_url, parts.keeping(settings), log.failure)
    streams = Streams(store, pump, settings.resume.detach_seconds, log.failure)
    store.on_cancel = streams.cancel_here
    lifecycle = Lifecycle(pump, connections, settings.server.lame_duck_seconds, settings.server.drain_seconds, reload)
    lifecycle.is_making = lambda: bool(streams.producing)
    tasks = parts.tasks(settings, lambda: lifecycle.closed, log, store)
    control = Control(control_directory(settings), LiveStreams(streams, pump), log.failure)
    gauges: tuple[tuple[str, str, Callable[[], float]], ...] = (
        ("relay_tasks_waiting", "Tasks that wait for their turn", lambda: tasks.pool.waiting),
        ("relay_in_flight", "Requests being answered", lambda: len(connections.busy)),
        ("relay_memory_bytes", "Resident memory as last measured", lambda: capacity.memory_bytes),
        ("relay_log_lines_dropped", "Lines that nobody read", lambda: log.dropped),
        ("relay_usage_write_errors", "Failed writes to the ledger", lambda: bookkeeper.write_errors),
        ("relay_limits_degraded", "Limits are not shared although they should be", lambda: limits.degraded),
        ("relay_upstream_latency_ms", "The upstream as last measured", lambda: probe.health.latency_ms or 0.0),
    )
    for name, text, read in gauges:
        metrics.gauge(name, text, read)

    def start() -> None:
        control.start()
        loop.once("tables", database.create_tables)
        loop.every(CACHE_SECONDS, "revocation", watch.look)
        loop.every(SPENDING_SECONDS, "spending", spending.look)
        loop.every(TURN_SECONDS, "ledger", bookkeeper.flush)
        loop.every(TURN_SECONDS, "metrics", metrics.refresh)
        loop.every(TEND_SECONDS, "limits", limits.tend)
        loop.every(POOLED_SECONDS_MAX, "connections", upstreams.drop_stale)
        loop.every(MEASURE_SECONDS, "capacity", capacity.look)
        loop.every(MEASURE_SECONDS, "room", connections.make_room)
        loop.every(LOOK_SECONDS, "streams", streams.look)
        loop.every(TEND_SECONDS, "streams", store.tend)
        loop.every(TEND_SECONDS, "tasks", tasks.tend)
        loop.every(SWEEP_SECONDS, "lost tasks", lambda: tasks.sweep(relay))
        for name, work in (*store.background, *tasks.board.background):
            loop.every(RECONNECT_SECONDS, name, work)
        loop.every(settings.health.probe_seconds, "probe", probe.measure)

    relay = Relay(
        settings=settings,
        secret=secret,
        authenticator=parts.authenticator(settings, keys, limits, signer),
        targets=targets,
        routing=Routing(targets, {}, pass_unknown=settings.models.pass_unknown),
        gate=parts.gate(settings, limits, unsettled),
        signer=signer,
        revocations=Revocations(database),
        unsettled=unsettled,
        limits=limits,
        upstreams=upstreams,
        accountant=parts.accountant(settings, log, bookkeeper, metrics),
        keys=keys,
        ledger=ledger,
        metrics=metrics,
        bookkeeper=bookkeeper,
        pump=pump,
        probe=probe,
        log=log,
        loop=loop,
        connections=connections,
        capacity=capacity,
        streams=streams,
        tasks=tasks,
        control=control,
        lifecycle=lifecycle,
        start=start,
    )
    return relay


def reassemble(relay: Relay, settings: Settings) -> Relay:
    """Return the same relay under new settings: what remembers or runs is kept, so that nothing is cut.

    What a process decides once (address, workers, stores, drain times) keeps its old value until a restart.
    """
    targets = parts.targets(settings) if not (settings.uses_demo and relay.settings.uses_demo) else relay.targets
    relay.upstreams.aim(targets, settings.stream.connect_seconds_max, settings.stream.first_byte_seconds_max)
    relay.pump.bound(parts.bounds(settings), settings.stream.early_open_seconds)
    relay.limits.fall_back(settings.limits.on_store_error)
    relay.metrics.know_models(settings.models.prices)
    relay.streams.detach_seconds = settings.resume.detach_seconds
    relay.streams.keep(parts.keeping(settings))
    relay.tasks.board.keep_seconds = settings.resume.keep_seconds
    relay.tasks.pool.bound(settings.tasks.parallel, settings.tasks.queue_max)
    relay.capacity.memory_bytes_max = settings.server.memory_bytes_max
    relay.probe.ask = parts.question(settings, targets, relay.upstreams)
    secret = open_secret(settings.auth.token_secret, relay.settings.stores.database_url)
    signer = TokenSigner(secret)
    return replace(
        relay,
        settings=settings,
        secret=secret,
        authenticator=parts.authenticator(settings, relay.keys, relay.limits, signer),
        signer=signer,
        gate=parts.gate(settings, relay.limits, relay.unsettled),
        targets=targets,
        routing=Routing(targets, {}, pass_unknown=settings.models.pass_unknown),
        accountant=parts.accountant(settings, relay.log, relay.bookkeeper, relay.metrics),
    )
