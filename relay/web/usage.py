"""GET /v1/usage: what the calling key or token has used, what it may, and what remains of that."""

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
from relay.core.spending import NANO, nano, period_of
from relay.stores.budgets import Balance
from relay.stores.database import StoreError
from relay.web.current import current_relay
from relay.web.incoming import Incoming
from relay.web.proxy import read_incoming

USAGE = Route("/v1/usage", upstream_path="", method="GET", scope="")
# Of a key's policy, what limits it; 0 is none, and shown as null.
LIMITS = ("rpm", "concurrent", "tpm", "budget_usd", "max_output_tokens")
TOTALS = ("requests", "tokens", "concurrent", "cost_usd")


def blueprint() -> flask.Blueprint:
    """The route of a caller's own figures."""
    routes = flask.Blueprint("usage", __name__)
    routes.add_url_rule(USAGE.path, "usage", own_usage)
    return routes


def own_usage() -> flask.Response:
    """To ask is a request like any other. A token is told of itself alone: its key's figures are not its holder's."""
    relay = current_relay()
    incoming = read_incoming(USAGE)
    caller = relay.authenticator.identify(incoming.credentials)
    incoming.receive_from(caller)
    with relay.gate.admit(caller, incoming):
        try:
            fields = _of_token(relay, caller) if caller.token_id else _of_key(relay, caller, incoming)
        except StoreError:
            message = "The ledger cannot be reached."
            raise RelayError("store_unavailable", message, retry_after_seconds=1.0) from None
    response = flask.Response(msgspec.json.encode(fields), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _of_key(relay: Any, caller: Caller, incoming: Incoming) -> dict[str, object]:
    """Figures of today and of this month, UTC; they are a second old, but for the budget's."""
    now, policy = time.time(), caller.policy
    fields = {**_used(relay.ledger, caller.key_id, now), "limits": _limits(policy)}
    balance = Balance()
    if policy.budget_usd:
        balance = relay.unsettled.budgets.look(caller.key_id, period_of(policy.budget_per, now), now)
        fields["budget"] = {name: amount / NANO for name, amount in _dollars(balance).items()}
    return {**fields, "remaining": _remaining(relay, caller, incoming, balance)}


def _of_token(relay: Any, caller: Caller) -> dict[str, object]:
    limits = caller.limits
    total = relay.limits.totals.look(caller.token_name) if limits.are_counted else None
    held = relay.slots_held(caller.token_name) if limits.concurrent else 0
    left: dict[str, float | None] = dict.fromkeys(TOTALS)
    if total is not None:
        left["requests"] = _left(limits.requests, total.requests)
        left["tokens"] = _left(limits.tokens, total.tokens)
        if limits.cost_usd is not None:
            left["cost_usd"] = max(0, nano(limits.cost_usd) - total.nano_usd) / NANO
    left["concurrent"] = _left(limits.concurrent, held - 1)  # its own slot is free when its answer is read
    return {
        "token_id": caller.token_id,
        "subject": caller.subject,
        "expires_at": int(caller.expires_at),
        "scopes": caller.scopes,
        "limits": {
            **{name: getattr(limits, name) for name in TOTALS},
            "max_output_tokens": caller.policy.max_output_tokens or None,
            "models": caller.policy.models or None,
        },
        "remaining": left,
    }


def _used(ledger: Any, key_id: str, now: float) -> dict[str, object]:
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {"today": day, "month": day.replace(day=1)}
    sums = {name: ledger.sums(begin.timestamp(), key_id) for name, begin in begins.items()}
    since = {name: begin.isoformat().replace("+00:00", "Z") for name, begin in begins.items()}
    return {"key_id": key_id, **{name: {"since": since[name], **asdict(sums[name])} for name in begins}}


def _limits(policy: KeyPolicy) -> dict[str, object]:
    limits = {name: getattr(policy, name) or None for name in LIMITS}
    return {**limits, "budget_per": policy.budget_per if policy.budget_usd else None, "models": policy.models or None}


def _remaining(relay: Any, caller: Caller, incoming: Incoming, balance: Balance) -> dict[str, float | None]:
    """Null where there is no limit. The slot that this request itself holds is free when its answer is read."""
    policy, left = caller.policy, dict(incoming.limit_headers).get("x-ratelimit-remaining-requests")
    slots_max = policy.concurrent
    tokens = relay.limits.token_rates.look(caller.key_id, policy.tpm).remaining if policy.tpm else None
    budget = max(0, nano(policy.budget_usd) - balance.spent - balance.reserved) / NANO if policy.budget_usd else None
    return {
        "requests": None if left is None else int(left),
        "concurrent": max(0, slots_max + 1 - relay.slots_held(caller.key_id)) if slots_max else None,
        "tokens": tokens,
        "budget_usd": budget,
    }


def _dollars(balance: Balance) -> dict[str, int]:
    return {"spent_usd": balance.spent, "estimated_usd": balance.estimated, "reserved_usd": balance.reserved}


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)
