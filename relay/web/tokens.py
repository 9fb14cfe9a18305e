"""POST /v1/client_secrets and DELETE /v1/client_secrets/{id}: a key makes and ends what a browser may hold."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

import flask
import msgspec

from relay.core.caller import Caller
from relay.core.credentials import invalid_key
from relay.core.errors import RelayError
from relay.core.keys import mint_token_id
from relay.core.routes import Route
from relay.core.tokens import Claims, TokenTimes, granted, read_wish
from relay.stores.database import StoreError
from relay.stores.keys import KeyRecord
from relay.tokens import TokenTooLong
from relay.web.current import current_relay
from relay.web.incoming import Incoming
from relay.web.proxy import read_incoming

T = TypeVar("T")
MINT = Route("/v1/client_secrets", upstream_path="", scope="")
REVOKE = Route("/v1/client_secrets/<token_id>", upstream_path="", method="DELETE", scope="")
_TOKEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")


def blueprint() -> flask.Blueprint:
    """The routes of a key's tokens. To ask is a request like any other."""
    routes = flask.Blueprint("tokens", __name__)
    routes.add_url_rule(MINT.path, "mint", mint, methods=["POST"])
    routes.add_url_rule(REVOKE.path, "revoke", revoke, methods=["DELETE"])
    return routes


def mint() -> flask.Response:
    """A new token. Raises RelayError invalid_request for more than the key may, scope_not_allowed for a token."""
    relay, incoming = current_relay(), read_incoming(MINT)
    caller = _key(incoming)
    with relay.gate.admit(caller, incoming):
        times = TokenTimes(time.time(), relay.settings.auth.token_seconds_max)
        claims = granted(read_wish(incoming.body), caller.policy, mint_token_id(), times)
        token = _signed(claims, _record_of(caller))
    fields = {"object": "relay.client_secret", "value": token, "id": claims.jti, "expires_at": int(claims.exp)}
    response = flask.Response(msgspec.json.encode(fields), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def revoke(token_id: str) -> flask.Response:
    """End the key's token of this id. Nobody learns whether there is one: tokens are not stored."""
    relay, incoming = current_relay(), read_incoming(REVOKE)
    caller = _key(incoming)
    with relay.gate.admit(caller, incoming):
        if not _TOKEN_ID.match(token_id):
            raise RelayError("invalid_request", "This is no token's id.")
        _stored(lambda: relay.revocations.revoke(caller.key_id, token_id, time.time()))
    return flask.Response(status=204, headers={"Cache-Control": "no-store"})


def _key(incoming: Incoming) -> Caller:
    caller: Caller = current_relay().authenticator.identify(incoming.credentials)
    caller.require_key()
    incoming.receive_from(caller)
    return caller


def _record_of(caller: Caller) -> KeyRecord:
    record: KeyRecord | None = _stored(lambda: current_relay().keys.parent(caller.key_id, "", time.time()))
    if record is None:
        raise invalid_key()  # revoked a moment ago
    return record


def _signed(claims: Claims, record: KeyRecord) -> str:
    try:
        token: str = current_relay().signer.sign(claims, record.id, record.epoch)
    except TokenTooLong:
        message = "The token would not fit into a header: name fewer models or origins."
        raise RelayError("invalid_request", message, param="models") from None
    return token


def _stored(work: Callable[[], T]) -> T:
    try:
        return work()
    except StoreError:
        raise RelayError("store_unavailable", "The key store cannot be reached.", retry_after_seconds=1.0) from None
