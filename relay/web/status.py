"""For monitors: is the process up, and does the upstream answer."""

from datetime import UTC, datetime

import flask
import msgspec

from relay.web.current import current_relay


def blueprint() -> flask.Blueprint:
    """The health routes; none of them needs a key or starts anything upstream."""
    routes = flask.Blueprint("status", __name__)
    routes.add_url_rule("/health", "health", health)
    routes.add_url_rule("/health/live", "live", live)
    routes.add_url_rule("/health/ready", "ready", ready)
    return routes


def live() -> flask.Response:
    """The process is up."""
    return _answer({"status": "alive"}, 200)


def ready() -> flask.Response:
    """Whether new requests should come here: not while draining, nor without the keys. The upstream does not count."""
    if current_relay().lifecycle.draining:
        return _answer({"status": "draining"}, 503)
    if not current_relay().has_stores():
        return _answer({"status": "store_unavailable"}, 503)
    return _answer({"status": "ready"}, 200)


def health() -> flask.Response:
    """The upstream as last measured: 200 with its latency in milliseconds, or 503 with what is wrong."""
    measured = current_relay().probe.health
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    limits = "degraded" if current_relay().limits.degraded else "ok"
    checks = {"upstream": measured.error or "ok", "limits": limits}
    if measured.latency_ms is None:
        return _answer({"status": "unhealthy", "error": measured.error, "timestamp": at, "checks": checks}, 503)
    return _answer({"status": "healthy", "latency": measured.latency_ms, "timestamp": at, "checks": checks}, 200)


def _answer(fields: dict[str, object], status: int) -> flask.Response:
    response = flask.Response(msgspec.json.encode(fields), status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
