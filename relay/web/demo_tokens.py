"""POST /demo/token: what lets the demo page work at the first visit, as long as nothing but the built-in demo answers.

Then nothing is billed, so anybody may ask; what they get is good for a few questions to the demo's models and a
few minutes, and all of it together is bounded by one key, `demo-page`, which can be revoked.
"""

import time
from typing import Any

import flask
import msgspec

from relay.core.credentials import network_of
from relay.core.errors import RelayError
from relay.core.keys import DEMO_PAGE_KEY, KeyPolicy, mint_token_id
from relay.core.tokens import SECONDS_DEFAULT, Claims, TokenTimes, granted, wish_for
from relay.demo.models import LISTED
from relay.stores.database import StoreError
from relay.stores.keys import KeyConflict, KeyRecord, KeyStore, UnknownKey
from relay.web.current import current_relay
from relay.web.demo import no_route, where_shown

KEY_POLICY = KeyPolicy(rpm=600, concurrent=50, models=LISTED)
TOKENS_PER_MINUTE = 30  # for one address
TOKEN = {"scopes": ["tasks"], "models": list(LISTED), "limits": {"requests": 20, "concurrent": 3}}


def blueprint() -> flask.Blueprint:
    """The route of the page's token."""
    routes = flask.Blueprint("demo_tokens", __name__)
    routes.add_url_rule("/demo/token", "token", where_shown(token), methods=["POST"])
    return routes


def token() -> flask.Response:
    """A new token for the page that asks.

    Raises RelayError route_not_found where a real upstream answers or the key was revoked, origin_not_allowed for any
    other page, rate_limit_exceeded, store_unavailable.
    """
    relay = current_relay()
    if not relay.settings.uses_demo:
        raise no_route()
    _require_own_page()
    _count(relay.limits.rates, flask.request.remote_addr or "")
    record = _key_in_force(relay.keys)
    claims = _claims(record, relay.settings.auth.token_seconds_max)
    fields = {"value": relay.signer.sign(claims, record.id, record.epoch), "expires_at": int(claims.exp)}
    response = flask.Response(msgspec.json.encode(fields), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def _require_own_page() -> None:
    """What a browser says of the site comes first (Fetch Metadata): a proxy may have changed the host. Without TLS it
    says nothing, and then the host must do. The token names no origin: browsers send none with a GET to their own site.
    """
    sent = flask.request.headers
    origin = sent.get("Origin", "")
    site = sent.get("Sec-Fetch-Site")
    is_own = site == "same-origin" if site else origin.partition("://")[2] == sent.get("Host")
    if not origin or not is_own:
        raise RelayError("origin_not_allowed", "This is for the relay's own demo page.")


def _count(rates: Any, address: str) -> None:
    minute = rates.hit(f"demo {network_of(address)}", TOKENS_PER_MINUTE)
    if not minute.allowed:
        message = "Too many demo tokens were asked for from this address."
        raise RelayError("rate_limit_exceeded", message, retry_after_seconds=minute.reset_seconds)


def _key_in_force(keys: KeyStore) -> KeyRecord:
    try:
        record = _key(keys)
    except StoreError:
        raise RelayError("store_unavailable", "The key store cannot be reached.", retry_after_seconds=1.0) from None
    if record.state(time.time()) != "active":
        raise no_route()
    return record


def _key(keys: KeyStore) -> KeyRecord:
    """The key behind all these tokens, made when it is first needed; its secret is shown to nobody."""
    try:
        return keys.get(DEMO_PAGE_KEY)
    except UnknownKey:
        pass
    try:
        return keys.create(DEMO_PAGE_KEY, KEY_POLICY)[0]
    except KeyConflict:  # another worker was faster
        return keys.get(DEMO_PAGE_KEY)


def _claims(record: KeyRecord, seconds_max: float) -> Claims:
    lifetime = {"seconds": min(SECONDS_DEFAULT, int(seconds_max))}
    wish = wish_for({**TOKEN, "expires_after": lifetime})
    return granted(wish, record.policy, mint_token_id(), TokenTimes(time.time(), seconds_max))
