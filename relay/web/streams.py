"""Resumable streams by name: list, look, follow from any event on, cancel, forget."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import flask
import msgspec

from relay.core.dialects import Dialect
from relay.core.errors import RelayError
from relay.core.event_ids import SEQ_DIGITS_MAX, read_event_id
from relay.core.kept import Kept
from relay.core.routes import ROUTES, Route
from relay.core.text import text_of
from relay.pump.departure import CallerGone
from relay.streams.streams import as_facts, not_found
from relay.web.answer import Gone
from relay.web.current import current_relay
from relay.web.events import EVENT_STREAM_HEADERS
from relay.web.followed import Followed, Reading
from relay.web.incoming import Incoming
from relay.web.proxy import read_incoming
from relay.web.resumable import evicted
from relay.web.tickets import holds_ticket

LIST = Route("/v1/streams", "", method="GET")
STATE = Route("/v1/streams/<stream_id>", "", method="GET")
FORGET = Route("/v1/streams/<stream_id>", "", method="DELETE")
EVENTS = Route("/v1/streams/<stream_id>/events", "", method="GET")
CANCEL = Route("/v1/streams/<stream_id>/cancel", "", method="POST")
# A non-200 ends an EventSource for good, so that it is sent away with a word on when to come back.
COME_BACK = b"retry: 5000\n\n"
TEXT_BYTES_MAX = 4_194_304
_DIALECTS = {route.path: route.dialect for route in ROUTES}


def blueprint() -> flask.Blueprint:
    """All routes of kept streams."""
    routes = flask.Blueprint("streams", __name__)
    for route, view in ((LIST, own_streams), (STATE, state), (FORGET, forget), (EVENTS, events), (CANCEL, cancel)):
        routes.add_url_rule(route.path, view.__name__, view, methods=[route.method])
    return routes


def own_streams() -> flask.Response:
    """The caller's streams, the newest last."""
    relay, incoming = current_relay(), read_incoming(LIST)
    owner = known(incoming).owner
    now = time.time()
    mine = [each for each in relay.streams.of_owner(owner) if each.route in _DIALECTS]  # tasks have routes of their own
    return as_json({"object": "list", "data": [as_facts(each, now) for each in mine]})


def state(stream_id: str) -> flask.Response:
    """One stream as it is now; its text as far as it is kept."""
    relay, kept = current_relay(), _permitted(STATE, stream_id)
    outcome = kept.outcome
    return as_json(
        {
            "id": stream_id,
            "status": kept.status,
            "model": kept.subject.model,
            "last_seq": kept.log.last_seq,
            "usage": usage_facts(outcome.usage) if outcome and outcome.usage else None,
            "error": {"code": outcome.error} if outcome and outcome.error else None,
            "text": _text_of(kept),
            "expires_at": relay.streams.expires_at(kept),
        }
    )


def forget(stream_id: str) -> flask.Response:
    """Cancel it and keep nothing; a key's right alone."""
    relay, incoming = current_relay(), read_incoming(FORGET)
    relay.streams.forget(relay.streams.find(stream_id, known(incoming).owner))
    return flask.Response(status=204)


def cancel(stream_id: str) -> flask.Response:
    """Stop its upstream at once. Idempotent."""
    kept = _permitted(CANCEL, stream_id)
    current_relay().streams.cancel(kept)
    return as_json({"id": stream_id, "status": kept.status if kept.outcome else "cancelled"})


def patient(view: Callable[..., flask.Response]) -> Callable[..., flask.Response]:
    """An EventSource with a ticket gets 200 and when to come back, where others get 429 or 503."""

    @wraps(view)
    def call(**names: str) -> flask.Response:
        record = flask.g.record
        try:
            return view(**names)
        except CallerGone as gone:
            return Gone(gone)
        except RelayError as error:
            if "ticket" not in flask.request.args or error.kind.status not in (429, 503):
                raise
            record.error, record.end = error.code, "shed" if error.kind.status == 503 else record.end
            return flask.Response(COME_BACK, headers=list(EVENT_STREAM_HEADERS))

    return call


@patient
def events(stream_id: str) -> flask.Response:
    """Replay what comes behind the event that the caller had last, then follow."""
    kept = _permitted(EVENTS, stream_id)
    return followed(kept, starting_after(stream_id), dialect_of(kept), flask.g.incoming)


def followed(kept: Kept, after: int, dialect: Dialect, incoming: Incoming) -> flask.Response:
    """An events route's answer. Raises RelayError events_evicted."""
    relay = current_relay()
    incoming.presence = relay.pump.presence(flask.request.environ, None)
    with incoming.presence:
        relay.streams.wait_for_head(kept)
    if after < kept.log.evicted_seq:
        raise evicted()
    if kept.outcome is not None and after and after >= kept.log.last_seq:
        return flask.Response(status=204)
    reading = Reading(kept, after, dialect, is_event_source=True)
    return Followed(relay, reading, incoming.presence, list(EVENT_STREAM_HEADERS))


def known(incoming: Incoming, scope: str = "streams") -> Any:
    """The caller, by its key or token; told its limits, none of which a look at one's own streams touches."""
    relay = current_relay()
    incoming.caller = caller = relay.authenticator.identify(incoming.credentials)
    incoming.record.key_id, incoming.record.known_at = caller.key_id, time.monotonic()
    caller.require(scope)
    relay.gate.show(caller, incoming)
    return caller


def as_json(fields: object) -> flask.Response:
    """An answer that no cache keeps."""
    response = flask.Response(msgspec.json.encode(fields), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def usage_facts(usage: Any) -> dict[str, int]:
    """Tokens as the upstream counted them."""
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def dialect_of(kept: Kept) -> Dialect:
    """What its frames mean."""
    return _DIALECTS[kept.subject.route]


def _permitted(route: Route, stream_id: str) -> Kept:
    """The stream, for its owner or a ticket's holder; for anybody else the same 404 as if there were none."""
    incoming, streams = read_incoming(route), current_relay().streams
    owner = None if holds_ticket(stream_id) else known(incoming).owner
    kept: Kept = streams.find(stream_id, owner)
    if kept.subject.route not in _DIALECTS:
        raise not_found()  # a task's, which has routes of its own
    return kept


def starting_after(stream_id: str) -> int:
    """The number of the event that the caller had last; the header that a browser sends by itself comes first."""
    request = flask.request
    named = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    if named:
        event = read_event_id(named)
        if event is None or event[0] != stream_id:
            raise RelayError("invalid_request", "Last-Event-ID names no event of this stream.", param="last_event_id")
        return event[1]
    number = request.args.get("starting_after", "0")
    if not (number.isascii() and number.isdigit() and len(number) <= SEQ_DIGITS_MAX):
        raise RelayError("invalid_request", "starting_after is not the number of an event.", param="starting_after")
    return int(number)


def _text_of(kept: Kept) -> str | None:
    """The answer's text so far; None where its beginning is not kept."""
    if kept.log.evicted_seq or kept.head is None:
        return None
    data, _ = kept.log.read(0, TEXT_BYTES_MAX)
    return text_of(data, is_stream=kept.head.is_stream)
