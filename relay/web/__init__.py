"""Who comes in: all of Flask."""

import os
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import flask
from flask.sessions import NullSession, SessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter

from config.settings import ConfigError, Settings, load
from relay.accounting import Record
from relay.assembly import assemble, reassemble
from relay.assembly.parts import restart_needed
from relay.core.errors import RelayError
from relay.web import (
    cors,
    demo,
    demo_tokens,
    errors,
    files,
    metrics,
    proxy,
    selftest,
    status,
    streams,
    tasks,
    tokens,
    usage,
)
from relay.web.current import current_relay, keeping_start_response
from relay.web.timing import server_timing

# What a browser sends (RFC 6454 6.1); anything else is somebody's text, and may hold a key.
_ORIGIN = re.compile(r"(?:null|[a-z][a-z0-9+.-]{0,31}://[A-Za-z0-9.:\[\]-]{1,255})\Z")
_NO_SESSION = NullSession()
_PORT = re.compile(r":[0-9]{1,5}\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}\Z")


class _NoSessions(SessionInterface):
    """Nothing is remembered of a browser, so nothing is looked for."""

    def open_session(self, app: flask.Flask, request: flask.Request) -> NullSession:
        return _NO_SESSION


class _App(flask.Flask):
    """Flask without what it asks of every function at every call: whether it is a coroutine. None of ours is."""

    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """No route depends on its host, which Flask would read twice; an upgrade it shall refuse as ever."""
        if request is None or "HTTP_UPGRADE" in request.environ:
            return super().create_url_adapter(request)
        return MapAdapter(self.url_map, "relay", "/", "", "http", request.path, request.method)


def create_app(settings: Settings | None = None) -> flask.Flask:
    """Build the application with its relay; `settings` default to what the environment says. Raises ConfigError,
    StoreError.
    """
    settings = settings or load()
    app = _App(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would answer for a path that is no route
    app.url_map.redirect_defaults = False
    app.extensions["relay"] = assemble(settings, partial(_reload, app))
    _limit_bodies(app, settings)
    app.before_request(_open_record)
    if settings.server.trusted_hosts:
        app.before_request(
            partial(_refuse_other_hosts, frozenset(host.lower() for host in settings.server.trusted_hosts))
        )
    if settings.server.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.server.trusted_proxies)  # type: ignore[method-assign]
    app.after_request(_add_common_headers)
    cors.init_app(app, settings.cors.origins, settings.cors.max_age_seconds)
    app.teardown_request(_close)
    errors.init_app(app)
    for prefix in {"", settings.server.path_prefix}:
        for room in (proxy, streams, tasks, status, tokens, usage, metrics, selftest, files, demo, demo_tokens):
            blueprint = room.blueprint()
            app.register_blueprint(
                blueprint, url_prefix=prefix or None, name=f"{blueprint.name}{prefix.replace('/', '_')}"
            )
    app.extensions["relay"].metrics.know_routes({rule.rule for rule in app.url_map.iter_rules()})
    app.wsgi_app = keeping_start_response(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _reload(app: flask.Flask) -> None:
    """Read the configuration again and swap it in; nothing is cut. A bad one changes nothing, and is told once."""
    relay = app.extensions["relay"]
    try:
        settings = load()
        app.extensions["relay"] = reassemble(relay, settings)
    except (ConfigError, OSError) as error:
        problems = getattr(error, "problems", [type(error).__name__])
        relay.log.write(level="error", time=time.time(), where="reload", problems=problems)
        return
    _limit_bodies(app, settings)
    cors.allow(app, settings.cors.origins, settings.cors.max_age_seconds)
    needed = restart_needed(relay.settings, settings)
    relay.log.write(level="info", time=time.time(), where="reload", restart_needed=needed)


def _limit_bodies(app: flask.Flask, settings: Settings) -> None:
    app.config["MAX_CONTENT_LENGTH"] = settings.server.body_bytes_max
    app.config["MULTIPART_CONTENT_LENGTH"] = settings.server.multipart_bytes_max


def _open_record() -> None:
    """Every request has one line in the log, also one that meets no route."""
    request = flask.request._get_current_object()  # type: ignore[attr-defined]
    asked = request.environ.get("HTTP_X_REQUEST_ID", "")
    name = asked if _REQUEST_ID.match(asked) else "req_" + os.urandom(11).hex()
    rule = request.url_rule
    origin = request.environ.get("HTTP_ORIGIN", "")
    flask.g.record = Record(name, rule.rule if rule else "unknown", origin=origin if _ORIGIN.match(origin) else None)


def _refuse_other_hosts(trusted: frozenset[str]) -> None:
    """Against DNS rebinding: a page that has its own name resolve to us is not served."""
    sent = flask.request.environ.get("HTTP_HOST", "").lower()  # not request.host, which is never empty
    if sent not in trusted and _PORT.sub("", sent) not in trusted:
        raise RelayError("misdirected_request", "This host is not served here.")


def _add_common_headers(response: flask.Response) -> flask.Response:
    kept, headers = flask.g._get_current_object(), response.headers
    record = kept.get("record")
    if record is not None:
        record.status = response.status_code
        headers.add("X-Request-Id", record.request_id)
        if record.known_at:
            headers.add("Server-Timing", server_timing(record, time.monotonic()))
    headers.add("X-Content-Type-Options", "nosniff")
    incoming = kept.get("incoming")
    if incoming is not None:
        _add_limit_headers(response, incoming.limit_headers)
    return response


def _add_limit_headers(response: flask.Response, headers: list[tuple[str, str]]) -> None:
    """An upstream that refuses for its own limits has told them already."""
    is_limited, told = response.status_code == 429, response.headers
    for name, value in headers:
        if not is_limited or name not in told:
            told.add(name, value)


def _close(error: BaseException | None) -> None:
    """Whatever became of the response: the exchange is closed and the line is written, once."""
    kept = flask.g._get_current_object()
    exchange = kept.pop("exchange", None)
    if exchange is not None:
        exchange.close()
    record = kept.get("record")
    if record is not None and record.upstream is None:  # else its meter tells, when the body is over
        current_relay().accountant.tell(record)
