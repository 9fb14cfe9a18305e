"""`python -m relay worker`: a process that only works tasks off, from the queue in Redis."""

import signal
import time
from importlib import import_module
from typing import Any

import click
import gevent
from gevent import monkey

from config.figures import drop_figures, share_figures
from config.settings import ConfigError, Settings, load

LOOK_SECONDS = 0.05
# After the drain: what was told to end ends, and the last rows and lines are written.
LAST_SECONDS_MAX = 2.0


@click.command("worker")
def command() -> None:
    """Work tasks off until SIGTERM; then those that run have the drain's time. Needs REDIS_URL."""
    monkey.patch_all()
    try:
        settings = load()
    except ConfigError as refusal:
        raise click.ClickException(str(refusal)) from None
    if not settings.stores.redis_url:
        raise click.ClickException("a worker takes its tasks from Redis: set REDIS_URL")
    figures = share_figures()  # before prometheus_client is imported, which looks at it once
    try:
        _work(settings)
    finally:
        drop_figures(figures)


def _work(settings: Settings) -> None:
    """What is imported here finds the patched modules."""
    relay: Any = import_module("relay.assembly").assemble(settings, lambda: None)
    worker = import_module("relay.tasks.worker").Worker(relay, settings.tasks.parallel, relay.log.failure)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(worker, "is_stopping", True))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a worker is restarted instead
    relay.start()
    relay.log.write(level="info", time=time.time(), where="worker", parallel=settings.tasks.parallel)
    try:
        worker.run()
        _finish(relay, worker, settings.server.drain_seconds)
    finally:
        relay.stop()


def _finish(relay: Any, worker: Any, drain_seconds: float) -> None:
    """What runs has its time; what is left at its end is told so."""
    _until_idle(worker, drain_seconds)
    relay.pump.drain()
    _until_idle(worker, LAST_SECONDS_MAX)


def _until_idle(worker: Any, seconds_max: float) -> None:
    deadline = time.monotonic() + seconds_max
    while worker.running and time.monotonic() < deadline:
        gevent.sleep(LOOK_SECONDS)
