"""Tickets in URLs: who may read one stream or task without a key, and where it is read."""

import time

import flask

from relay.core.errors import RelayError
from relay.core.tickets import expiry_of, mint_ticket
from relay.web.current import current_relay

QUERY_NAME = "ticket"


def url_of(kind: str, name: str, path: str = "/v1/{kind}/{name}/events") -> str:
    """The absolute path, prefix included, under which `name` can be followed, with a ticket for it alone."""
    relay = current_relay()
    expires_at = time.time() + relay.settings.resume.ticket_seconds
    ticket = mint_ticket(relay.secret, name, expires_at)
    return f"{prefix()}{path.format(kind=kind, name=name)}?{QUERY_NAME}={ticket}"


def prefix() -> str:
    """The path prefix under which this request came, so that a page behind the same proxy finds its way back."""
    configured: str = current_relay().settings.server.path_prefix
    return configured if configured and flask.request.path.startswith(f"{configured}/") else ""


def holds_ticket(name: str) -> bool:
    """Whether this request may read `name` by its ticket. False where it brings none, or a key beside it.

    Raises RelayError stream_not_found for a ticket that is none for `name`, stream_expired for one that was.
    """
    headers = flask.request.headers
    ticket = flask.request.args.get(QUERY_NAME)
    if ticket is None or "Authorization" in headers or "X-API-Key" in headers:
        return False
    expires_at = expiry_of(current_relay().secret, name, ticket)
    if expires_at is None:
        raise RelayError("stream_not_found", "There is no such stream.")
    if expires_at <= time.time():
        raise RelayError("stream_expired", "This ticket has expired.")
    return True
