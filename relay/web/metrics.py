"""GET /metrics: for a Prometheus on this machine, or for one that has the token."""

import hmac

import flask
from prometheus_client import CONTENT_TYPE_LATEST

from relay.core.errors import RelayError
from relay.web.current import current_relay

LOOPBACK = ("127.0.0.1", "::1")
# A request that a proxy passed on comes from loopback too, but not from somebody on this machine.
FORWARDING_HEADERS = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via")


def blueprint() -> flask.Blueprint:
    """The route of the figures."""
    routes = flask.Blueprint("metrics", __name__)
    routes.add_url_rule("/metrics", "metrics", metrics)
    return routes


def metrics() -> flask.Response:
    """All figures. Raises RelayError missing_credentials, invalid_api_key."""
    relay = current_relay()
    if not _is_local():
        _demand_token(relay.settings.server.metrics_token)
    return flask.Response(relay.metrics.text(), content_type=CONTENT_TYPE_LATEST)


def _is_local() -> bool:
    sent = flask.request
    return sent.remote_addr in LOOPBACK and not any(name in sent.headers for name in FORWARDING_HEADERS)


def _demand_token(token: str) -> None:
    scheme, _, presented = flask.request.headers.get("Authorization", "").partition(" ")
    if not presented:
        raise RelayError("missing_credentials", "The figures need the metrics token.")
    is_right = hmac.compare_digest(presented.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not token or not is_right:
        raise RelayError("invalid_api_key", "The metrics token is not valid.")
