"""The relayed routes: read the request, walk the corridor, answer with the exchange."""

import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

import flask

from relay.core.credentials import KeyRevoked
from relay.core.errors import RelayError
from relay.core.routes import MODELS, ROUTES, Route
from relay.exchange import enter, open_exchange
from relay.pump.departure import CallerGone
from relay.pump.takeover import Wire
from relay.web.answer import Answer, Gone, OpenedError
from relay.web.current import current_relay, start_response
from relay.web.errors import frame
from relay.web.events import EVENT_STREAM_HEADERS
from relay.web.incoming import Incoming, refuse_key_in_query
from relay.web.models import head_of_models, permitted_models
from relay.web.resumable import is_resumable, resumable

TOO_MANY_REQUESTS = 429


def blueprint() -> flask.Blueprint:
    """All relayed routes."""
    routes = flask.Blueprint("proxy", __name__)
    for route in ROUTES:
        routes.add_url_rule(route.path, route.path, partial(relay_request, route), methods=[route.method])
    return routes


def relay_request(route: Route, answer_with: Callable[[Incoming], flask.Response] | None = None) -> flask.Response:
    """Relay one request, or answer it otherwise; what is refused while its caller waits is told as is possible then."""
    incoming = read_incoming(route)
    try:
        return (answer_with or answer)(incoming)
    except CallerGone as gone:
        return Gone(gone)
    except RelayError as error:
        if incoming.caller is not None:
            current_relay().gate.show(incoming.caller, incoming)
        if error.kind.status == TOO_MANY_REQUESTS:
            current_relay().loop.hold_back()
        if isinstance(error, KeyRevoked):
            incoming.record.end = "revoked"
        if incoming.presence is None or incoming.presence.wire is None:
            raise
        incoming.record.error = error.code
        if incoming.record.end == "done":
            incoming.record.end = "upstream_eof"
        return OpenedError(current_relay().pump, incoming.presence, frame(error, route.dialect))


def answer(incoming: Incoming) -> flask.Response:
    """Open the exchange; from here to the body's end it belongs to the response."""
    if incoming.route is MODELS:
        return answer_models(incoming)
    return relayed(incoming)


def relayed(incoming: Incoming) -> flask.Response:
    """The upstream's answer as it comes."""
    relay = current_relay()
    caller = enter(relay, incoming)
    if is_resumable(incoming, caller):
        return resumable(incoming, caller)
    flask.g.exchange = open_exchange(relay, caller, incoming)
    return Answer(relay.pump, flask.g.exchange, incoming.presence)


def answer_models(incoming: Incoming) -> flask.Response:
    """The models that this caller may use."""
    if flask.request.method == "HEAD":
        return head_of_models(incoming)
    permitted = current_relay().authenticator.identify(incoming.credentials).policy.models
    return permitted_models(incoming, permitted) if permitted else relayed(incoming)


def read_incoming(route: Route) -> Incoming:
    """Read the request's head. Raises RelayError key_in_query."""
    relay, record = current_relay(), flask.g.record
    if relay.lifecycle.closed:
        raise RelayError("draining", "The relay is being restarted.", retry_after_seconds=1.0)
    relay.capacity.require()
    if flask.request.environ["QUERY_STRING"]:
        refuse_key_in_query(flask.request.args)
    record.route = route.path
    presence_for = partial(_presence_for, relay.pump, flask.request.environ)
    sent = flask.request._get_current_object()  # type: ignore[attr-defined]
    incoming = Incoming(sent, route, record, presence_for, relay.body_deadline)
    flask.g.incoming = incoming
    return incoming


def _presence_for(pump: Any, environ: dict[str, Any], streams: bool) -> Any:
    """The context in which the upstream is awaited; a stream may be opened in it before the upstream answers."""
    return pump.presence(environ, _early_opening(pump, environ) if streams else None)


def _early_opening(pump: Any, environ: dict[str, Any]) -> Callable[[], Wire]:
    """Sends the head of an event stream, with all that every answer carries; runs in a greenlet of its own."""
    context = contextvars.copy_context()
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]

    def open_early() -> Wire:
        head = context.run(lambda: app.process_response(flask.Response(headers=_early_headers())))
        flask_headers = [(name, value) for name, value in head.headers if name.lower() != "content-length"]
        wire: Wire = pump.open_wire(start_response(environ), "200 OK", flask_headers)
        return wire

    return open_early


def _early_headers() -> list[tuple[str, str]]:
    """Those of an event stream, and the name of one that is kept."""
    return [*EVENT_STREAM_HEADERS, *flask.g.get("early_headers", ())]
