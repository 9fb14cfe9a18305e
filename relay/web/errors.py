"""Refusals as responses: the OpenAI shape, the flat shape of the seed route, and frames within a stream."""

from functools import partial
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import (
    HTTPException,
    InternalServerError,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
)

from relay.connections.unread import KEPT_BYTES_MAX, end_where_unread
from relay.core import german
from relay.core.credentials import KeyRevoked
from relay.core.errors import IN_STREAM, RelayError, error_object
from relay.core.routes import SEED_CHAT
from relay.web.current import start_response
from relay.web.parts import too_large

# Of whose request how much may still be on its way for the connection to be kept; where there is no room, none is kept.
KEPT_AFTER = {"request_timeout": 0, "body_too_large": 0, "overloaded": -1}
_FLAT_NAMES = {"missing_credentials": "MISSING_AUTH", "invalid_api_key": "INVALID_KEY"}


def init_app(app: flask.Flask) -> None:
    """Answer every failure in the contract's shape."""
    app.register_error_handler(RelayError, refused)
    app.register_error_handler(HTTPException, _http_refused)
    app.register_error_handler(Exception, _failed)
    app.log_exception = partial(_log, app)  # type: ignore[method-assign]  # Flask's would print what a caller sent


def refused(error: RelayError) -> flask.Response:
    """The response for a refusal."""
    record = flask.g.get("record")
    if record is not None:
        record.status, record.error = error.kind.status, error.code
        record.upstream_status = record.upstream_status or error.upstream_status
        record.end = "shed" if error.kind.status == 503 else record.end
    body = _flat(error) if _is_flat() else msgspec.json.encode({"error": _object(error)})
    response = flask.Response(body, error.kind.status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Relay-Error-Source"] = "relay"
    for name, value in error.headers():
        response.headers[name] = value
    environ = flask.request.environ
    kept_bytes_max = KEPT_AFTER.get(error.code, KEPT_BYTES_MAX)
    end_where_unread(environ["wsgi.input"], start_response(environ), kept_bytes_max)
    return response


def frame(error: RelayError, dialect: Any) -> bytes:
    """The refusal as a frame, where the stream was open before the upstream failed."""
    if isinstance(error, KeyRevoked):
        revoked: bytes = dialect.error_frame("key_revoked", IN_STREAM["key_revoked"], "stream_error")
        return revoked
    frame_: bytes = dialect.error_frame(error.code, error.message, error.kind.type, error.kind.status)
    return frame_


def _object(error: RelayError) -> dict[str, object]:
    return error_object(error.code, error.message, error.kind.type, error.param)


def _is_flat() -> bool:
    return flask.request.path.endswith(SEED_CHAT.path)


def language() -> str:
    """What the caller reads best of de and en; who names neither gets English."""
    for tag, quality in flask.request.accept_languages:
        primary = tag.lower().partition("-")[0]
        if quality and primary in ("de", "en"):
            return primary
    return "en"


def _flat(error: RelayError) -> bytes:
    message = german.MESSAGES.get(error.code, error.message) if language() == "de" else error.message
    return msgspec.json.encode({"error": _FLAT_NAMES.get(error.code, error.code.upper()), "message": message})


def _http_refused(error: HTTPException) -> flask.Response:
    """werkzeug's own refusals in our shape."""
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        other = RelayError("method_not_allowed", "This route has another method.", headers=(("Allow", allowed),))
        return refused(other)
    if isinstance(error, InternalServerError):  # behind the view; it has been logged
        return refused(RelayError("internal_error", "The relay failed."))
    if isinstance(error, RequestEntityTooLarge):
        return refused(too_large())
    if isinstance(error, NotFound):
        return refused(RelayError("route_not_found", "There is no such route."))
    return refused(RelayError("invalid_request", "The request is not valid."))


def _failed(error: Exception) -> flask.Response:
    """A defect of ours: told as such, and logged without what the caller sent."""
    _log(flask.current_app, (type(error), error, error.__traceback__))
    return refused(RelayError("internal_error", "The relay failed."))


def _log(app: flask.Flask, exc_info: Any) -> None:
    """The failure's type and place."""
    app.extensions["relay"].log.failure("request", exc_info[1])
