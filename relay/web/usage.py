"""GET /v1/usage: what the calling key has used, what it may, and what remains of that."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import flask
import msgspec

from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.core.routes import Route
from relay.stores.database import StoreError
from relay.web.current import current_relay
from relay.web.incoming import Incoming
from relay.web.proxy import read_incoming

USAGE = Route("/v1/usage", upstream_path="", method="GET")
# Of a key's policy, what limits it; 0 is none, and shown as null.
LIMITS = ("rpm", "concurrent", "tpm", "budget_usd", "max_output_tokens")


def blueprint() -> flask.Blueprint:
    """The route of a key's own figures."""
    routes = flask.Blueprint("usage", __name__)
    routes.add_url_rule(USAGE.path, "usage", own_usage)
    return routes


def own_usage() -> flask.Response:
    """Figures of today and of this month, UTC; they are a second old. To ask is a request like any other."""
    relay = current_relay()
    incoming = read_incoming(USAGE)
    caller = relay.authenticator.identify(incoming.credentials)
    incoming.receive_from(caller)
    with relay.gate.admit(caller, incoming):
        fields = {**_used(relay.ledger, caller.key_id, time.time()), "limits": _limits(caller.policy)}
        fields["remaining"] = _remaining(relay, caller, incoming)
    response = flask.Response(msgspec.json.encode(fields), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _used(ledger: Any, key_id: str, now: float) -> dict[str, object]:
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {"today": day, "month": day.replace(day=1)}
    try:
        sums = {name: ledger.sums(begin.timestamp(), key_id) for name, begin in begins.items()}
    except StoreError:
        raise RelayError("store_unavailable", "The ledger cannot be reached.", retry_after_seconds=1.0) from None
    since = {name: begin.isoformat().replace("+00:00", "Z") for name, begin in begins.items()}
    return {"key_id": key_id, **{name: {"since": since[name], **asdict(sums[name])} for name in begins}}


def _limits(policy: KeyPolicy) -> dict[str, object]:
    limits = {name: getattr(policy, name) or None for name in LIMITS}
    return {**limits, "budget_per": policy.budget_per if policy.budget_usd else None, "models": policy.models or None}


def _remaining(relay: Any, caller: Caller, incoming: Incoming) -> dict[str, int | None]:
    """Null where there is no limit. The slot that this request itself holds is free when its answer is read."""
    left = dict(incoming.limit_headers).get("x-ratelimit-remaining-requests")
    slots_max = caller.policy.concurrent
    free = max(0, slots_max + 1 - relay.slots_held(caller.key_id)) if slots_max else None
    return {"requests": None if left is None else int(left), "concurrent": free}
