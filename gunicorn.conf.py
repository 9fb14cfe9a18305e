"""The server's shape. Patches first: what is imported before the patch keeps the blocking sockets."""

from gevent import monkey

monkey.patch_all()

import functools  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import types  # noqa: E402
from pathlib import Path  # noqa: E402

chdir = str(Path(__file__).parent)  # the relay starts from any directory
sys.path.insert(0, chdir)

import gunicorn.arbiter  # noqa: E402
import gunicorn.workers.ggevent  # noqa: E402

from config.descriptors import claim_descriptors  # noqa: E402
from config.figures import drop_figures, share_figures  # noqa: E402
from config.settings import ConfigError, load  # noqa: E402

try:
    _settings = load()
    claim_descriptors(_settings)
except ConfigError as error:
    raise SystemExit("\n".join(["The configuration is refused:", *error.problems])) from None

if _settings.server.workers > 1:  # before prometheus_client is imported, which looks at it once
    _figures = share_figures()

# gunicorn measures a drain with the wall clock: set forward, it would cut every stream.
_steady = types.SimpleNamespace(time=time.monotonic, monotonic=time.monotonic, sleep=time.sleep)
gunicorn.arbiter.time = gunicorn.workers.ggevent.time = _steady

from prometheus_client.multiprocess import mark_process_dead  # noqa: E402

bind = _settings.server.bind
workers = _settings.server.workers
worker_class = "gevent"
worker_connections = _settings.server.connections_per_worker
keepalive = int(_settings.server.keepalive_seconds)  # also the only deadline for a request's head
# The arbiter's clock starts with SIGTERM, the worker's drain after the lame duck.
graceful_timeout = math.ceil(_settings.server.lame_duck_seconds + _settings.server.drain_seconds + 3)
timeout = 60  # of a worker whose loop is stuck
preload_app = False  # requests must be imported after the patch, in the worker
http_parser = "python"  # the parser that is tested here, also where gunicorn_h1c happens to be installed
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
# No peer may set SCRIPT_NAME, PATH_INFO or the scheme: nothing is left to trust anyone with, and nobody's address need
# be looked up for each request.
forwarder_headers = ""
secure_scheme_headers = {}
forwarded_allow_ips = "*"
http_protocols = "h1"
control_socket_disable = True
worker_tmp_dir = "/dev/shm"  # a slow disk must not make a worker look dead  # noqa: S108
accesslog = None  # the relay writes one line per request itself
logger_class = "relay.logs.ServerLogger"


def pre_request(worker, request):
    """Mark repeated credential headers before they are joined; no client can send a NUL."""
    names = [name for name, _ in request.headers]
    for name in ("AUTHORIZATION", "X-API-KEY"):
        if names.count(name) > 1:
            others = [pair for pair in request.headers if pair[0] != name]
            request.headers = [*others, (name, "\0repeated")]


def post_worker_init(worker):
    """Start what runs beside the requests, in the worker and on its loop."""
    relay = worker.wsgi.extensions["relay"]
    relay.connections.attach(worker)
    relay.lifecycle.attach(worker)
    relay.start()


def when_ready(server):
    """SIGHUP goes on to the workers, which swap their configuration in place; gunicorn would end them."""
    server.handle_hup = functools.partial(_pass_on_hangup, server)
    for listener in server.LISTENERS:
        _bound_connections(listener.sock)


def _bound_connections(sock):
    """Every accepted connection inherits this: what the kernel keeps for a caller that does not read, and when it gives
    such a caller up, whatever was being sent. The relay's own deadline for streams comes first.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _settings.stream.pending_bytes_max)
    if sock.family != socket.AF_UNIX:
        milliseconds = math.ceil((_settings.stream.slow_reader_seconds_max + 5) * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _pass_on_hangup(server):
    for pid in list(server.WORKERS):
        os.kill(pid, signal.SIGHUP)


def child_exit(server, worker):
    """The figures of a worker that is gone no longer count as its present."""
    if _settings.server.workers > 1:
        mark_process_dead(worker.pid)


def on_exit(server):
    """The workers' files go with the server."""
    if _settings.server.workers > 1:
        drop_figures(_figures)


def worker_exit(server, worker):
    """The last lines are written before the process goes."""
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions["relay"].stop()
