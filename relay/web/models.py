"""GET /v1/models: the upstream's list, less what this key may not use."""

from typing import Any

import flask
import msgspec

from relay.core.errors import RelayError
from relay.exchange import enter, open_exchange
from relay.web.answer import Answer
from relay.web.current import current_relay
from relay.web.incoming import Incoming

LIST_BYTES_MAX = 4_194_304


def head_of_models(incoming: Incoming) -> flask.Response:
    """HEAD: who asks is checked, nothing starts upstream."""
    relay = current_relay()
    caller = relay.authenticator.identify(incoming.credentials)
    incoming.record.key_id = caller.key_id
    relay.gate.show(caller, incoming)
    return flask.Response(content_type="application/json")


def permitted_models(incoming: Incoming, models: tuple[str, ...]) -> flask.Response:
    """The upstream's list with only `models` in it. Raises RelayError upstream_bad_response."""
    relay = current_relay()
    flask.g.exchange = exchange = open_exchange(relay, enter(relay, incoming), incoming)
    if exchange.upstream.status != 200:
        return Answer(relay.pump, exchange, incoming.presence)
    try:
        listing = msgspec.json.decode(relay.pump.collect(exchange, LIST_BYTES_MAX), type=dict[str, Any])
        kept = [model for model in listing["data"] if model["id"] in models]
    except (msgspec.MsgspecError, KeyError, TypeError):
        raise RelayError("upstream_bad_response", "The upstream's list of models cannot be read.") from None
    return flask.Response(msgspec.json.encode({**listing, "data": kept}), content_type="application/json")
