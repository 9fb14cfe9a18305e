"""The request as the rooms see it: read from Flask, its body only once the caller is known."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import flask
from gunicorn.http.errors import ParseException

from relay.accounting import Record
from relay.core.caller import Caller
from relay.core.credentials import QUERY_NAMES, Credentials
from relay.core.errors import RelayError
from relay.core.outputs import with_ceiling
from relay.core.request import forwarded_headers, read_ask, seed_body, with_usage_asked
from relay.core.routes import Route
from relay.core.targets import Target
from relay.web.parts import Parts, broken, too_large

USER_AGENT = "relay"


@lru_cache(maxsize=256)  # the names come from the configuration
def _variable(name: str) -> str:
    """The header's name in the environment (PEP 3333)."""
    variable = name.upper().replace("-", "_")
    return variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"


def refuse_key_in_query(query: Mapping[str, Any]) -> None:
    """A key in a URL ends up in logs. Raises RelayError key_in_query."""
    if any(name.lower() in QUERY_NAMES for name in query):
        raise RelayError("key_in_query", "Send the key in a header, never in the URL.")


class Incoming:
    """One request for one relayed route. `record`: its log line. `presence`: the context for waiting on its behalf.

    `presence_for(streams)` makes that context; `deadline(spent_seconds)` is what is left of the time for the body.
    """

    def __init__(
        self,
        sent: flask.Request,
        route: Route,
        record: Record,
        presence_for: Callable[[bool], Any],
        deadline: Callable[[float], AbstractContextManager[Any]],
    ) -> None:
        self._sent, self._presence_for, self._deadline = sent, presence_for, deadline
        self.route, self.record = route, record
        environ = sent.environ
        sent_keys = environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_X_API_KEY")
        self.credentials = Credentials(*sent_keys, environ.get("HTTP_ORIGIN"), environ.get("REMOTE_ADDR") or "")
        self.method, self.upstream_path = route.method, route.upstream_path
        self.limit_headers: list[tuple[str, str]] = []
        self.streams = route.always_streams
        self.body: Any = None
        self.hides_usage = False
        self.stream_id = ""  # of the stream that is kept, if it is
        self.caller: Caller | None = None
        self.model: str | None = None
        self.presence: Any = None
        self.held: Any = None

    def receive_from(self, caller: Caller) -> None:
        """Read the body of a known caller.

        Raises RelayError invalid_request, body_too_large, unsupported_media_type, request_timeout.
        """
        self.caller = caller
        caller.require(self.route.scope)
        self.record.key_id, self.record.known_at = caller.key_id, time.monotonic()
        if self.method == "POST":
            self._read_body(caller)
        self.record.received_at = time.monotonic()
        self.record.model = self.model
        self.presence = self._presence_for(self.streams)
        self.presence.names = caller.names

    def headers_for(self, target: Target) -> dict[str, str]:
        """What goes to this upstream beside its credential."""
        headers = forwarded_headers(self._header, target.forward_headers)
        if self.body is not None and not isinstance(self.body, bytes) and self._sent.content_length is not None:
            headers["Content-Length"] = str(self._sent.content_length)
        return {**headers, "User-Agent": USER_AGENT, "X-Request-Id": self.record.request_id}

    def _header(self, name: str) -> str | None:
        """As the server has it; Flask's own look-up takes five times as long."""
        value: str | None = self._sent.environ.get(_variable(name))
        return value

    def _read_body(self, caller: Caller) -> None:
        kind = self._sent.environ.get("CONTENT_TYPE")
        if kind != "application/json":
            kind = self._sent.mimetype
        if kind == "multipart/form-data" and self.route.multipart:
            self._forward_parts(caller)
        elif kind == "application/json":
            self._read_json(caller.policy.max_output_tokens)
        else:
            raise RelayError("unsupported_media_type", "Send the body as application/json.")

    def _read_json(self, output_tokens_max: int) -> None:
        body = self._receive()
        ask = read_ask(body)
        self.model = ask.model
        self.streams = self.streams or bool(ask.stream)
        if output_tokens_max:
            body = with_ceiling(body, self.route, output_tokens_max)
        if self.route.always_streams:
            body = seed_body(body)
        self.hides_usage = self.streams and self.route.usage_on_request and not ask.asks_usage
        self.body = with_usage_asked(body, ask) if self.hides_usage else body

    def _forward_parts(self, caller: Caller) -> None:
        """Multipart streams through unread, so a key that is bound to models cannot use it."""
        if caller.policy.models:
            raise RelayError("model_not_allowed", "A key that is bound to models cannot send multipart bodies.")
        bytes_max = flask.current_app.config["MULTIPART_CONTENT_LENGTH"]
        if (self._sent.content_length or 0) > bytes_max:
            raise too_large()
        self._sent.max_content_length = bytes_max + 1  # one more, or the server would cut the body without a word
        self.body = Parts(self._sent.stream, bytes_max, self._deadline)

    def _receive(self) -> bytes:
        bytes_max, length = flask.current_app.config["MAX_CONTENT_LENGTH"], self._sent.content_length
        if (length or 0) > bytes_max:
            raise too_large()
        if length is None:  # chunked, where the server knows its end; else there is none
            length = bytes_max + 1 if self._sent.environ.get("wsgi.input_terminated") else 0
        try:
            with self._deadline(0.0):
                body: bytes = self._sent.environ["wsgi.input"].read(length)
        except (OSError, ParseException):
            raise broken() from None
        if len(body) > bytes_max:
            raise too_large()
        if len(body) < (self._sent.content_length or 0):
            raise broken()
        return body
