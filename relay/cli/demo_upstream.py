"""`python -m relay demo-upstream`: the built-in upstream as a server of its own."""

import signal

import click
import gevent
from gevent import monkey
from gevent.event import Event

from relay.demo.server import DemoUpstream


@click.command("demo-upstream")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65_535), help="0 takes a free one.")
def command(host: str, port: int) -> None:
    """Run a keyless OpenAI-compatible upstream until it is told to stop.

    Prints its base URL. Models: demo, demo-slow, fault-<name> and
    mock-n<frames>-i<microseconds between>-s<bytes each>-d<microseconds before the first>.
    """
    monkey.patch_all(ssl=False)  # no TLS here, and gevent warns where another verb has imported ssl before
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, stopped.set)
    _serve_until(stopped, DemoUpstream(host, port))


def _serve_until(stopped: Event, upstream: DemoUpstream) -> None:
    try:
        upstream.start()
    except OSError as problem:
        raise click.ClickException(f"cannot listen: {problem}") from problem
    click.echo(upstream.base_url)
    stopped.wait()
    upstream.stop()
