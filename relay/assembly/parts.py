"""The rooms whose making takes more than a line: what each is given of the settings."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from config.settings import Settings
from relay.accounting import Accountant
from relay.admission import Gate
from relay.authentication import Authenticator
from relay.bookkeeping import Bookkeeper
from relay.core.targets import Target
from relay.demo.server import DemoUpstream
from relay.exchange import open_exchange
from relay.logs import Log
from relay.metrics import Metrics
from relay.pump.stream import Bounds
from relay.pump.sweep import NEVER
from relay.spending.holds import Unsettled
from relay.spending.spending import Spending
from relay.stores.keys import KeyStore
from relay.stores.shared import Limits
from relay.stores.stream_record import producer_key
from relay.stores.streams import Keeping
from relay.stores.task_board import Board, MemoryBoard
from relay.stores.task_board_redis import RedisBoard
from relay.stores.task_queue import NOBODY, TaskQueue
from relay.tasks.pool import Pool
from relay.tasks.shared_queue import SharedQueue
from relay.tasks.tasks import Tasks
from relay.tokens import TokenSigner
from relay.upstream.upstreams import Upstreams

FIXED_WITHIN_A_PROCESS = (
    *("bind", "workers", "connections_per_worker", "path_prefix", "keepalive_seconds"),
    *("trusted_hosts", "trusted_proxies"),
    *("lame_duck_seconds", "drain_seconds"),
)


def authenticator(settings: Settings, keys: KeyStore, limits: Limits, signer: TokenSigner) -> Authenticator:
    auth = settings.auth
    return Authenticator(keys, limits.rates, auth.failures_per_minute, signer, auth.token_seconds_max)


def gate(settings: Settings, limits: Limits, unsettled: Unsettled) -> Gate:
    spending = Spending(limits, unsettled, settings.models.prices, settings.stream.total_seconds_max)
    return Gate(limits.slots, limits.rates, limits.token_rates, spending)


def accountant(settings: Settings, log: Log, bookkeeper: Bookkeeper, metrics: Metrics) -> Accountant:
    return Accountant(log.write, log.failure, settings.models.prices, bookkeeper.enter, metrics.observe)


def question(settings: Settings, targets: list[Target], upstreams: Upstreams) -> Callable[[], None]:
    return lambda: upstreams.probe(targets[0], settings.health.probe_path)


def targets(settings: Settings) -> list[Target]:
    if settings.uses_demo:
        demo = DemoUpstream()
        demo.start()
        return [Target("demo", demo.base_url, "")]
    return [
        Target(u.name, u.base_url, u.api_key, u.auth, tuple(u.forward_headers), u.ca_file) for u in settings.upstreams
    ]


def upstreams(settings: Settings, targets: list[Target]) -> Upstreams:
    return Upstreams(
        targets,
        connect_seconds_max=settings.stream.connect_seconds_max,
        first_byte_seconds_max=settings.stream.first_byte_seconds_max,
        connections_max=settings.server.connections_per_worker,
    )


def bounds(settings: Settings) -> Bounds:
    stream = settings.stream
    return Bounds(
        heartbeat_seconds=stream.heartbeat_seconds or NEVER,
        idle_seconds_max=stream.idle_seconds_max,
        total_seconds_max=stream.total_seconds_max,
        slow_reader_seconds_max=stream.slow_reader_seconds_max,
        pending_bytes_max=stream.pending_bytes_max,
    )


def keeping(settings: Settings) -> Keeping:
    resume = settings.resume
    return Keeping(resume.keep_seconds, resume.stream_bytes_max, resume.process_bytes_max)


def restart_needed(old: Settings, new: Settings) -> list[str]:
    """Names of the settings that differ and that only a restart can change."""
    fixed = [name for name in FIXED_WITHIN_A_PROCESS if getattr(old.server, name) != getattr(new.server, name)]
    fixed += [] if old.stores == new.stores else ["stores"]
    return fixed if old.health.probe_seconds == new.health.probe_seconds else [*fixed, "probe_seconds"]


def tasks(settings: Settings, is_closing: Callable[[], bool], log: Log, store: Any) -> Tasks:
    pool = Pool(settings.tasks.parallel, settings.tasks.queue_max, is_closing, log.failure)
    return Tasks(pool, _board(settings, log), open_exchange, _queue(settings, log, store))


def _queue(settings: Settings, log: Log, store: Any) -> SharedQueue | None:
    """The streams' process name is the worker's: one lease proves that both live."""
    if not settings.stores.redis_url:
        return None
    queue = TaskQueue(settings.stores.redis_url, store.producer, log.failure)
    return SharedQueue(queue, store.handover, partial(store.listener.join, producer_key(NOBODY)), time.monotonic)


def _board(settings: Settings, log: Log) -> Board:
    keep_seconds, redis_url = settings.resume.keep_seconds, settings.stores.redis_url
    return RedisBoard(redis_url, keep_seconds, log.failure, time.time) if redis_url else MemoryBoard(keep_seconds)
