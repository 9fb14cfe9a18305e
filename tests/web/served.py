"""One request as gunicorn's worker serves it: its parser, its response, and a real socket that can be taken over."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import flask
from gevent import socket, spawn
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.parser import RequestParser
from gunicorn.workers.base_async import ALREADY_HANDLED

PEER = ("127.0.0.1", 9)
SECONDS_MAX = 5.0


def post(path: str, key: str, value: object, *lines: str) -> bytes:
    """A whole request with a JSON body; `lines` are more header lines."""
    body = json.dumps(value).encode()
    head = [f"POST {path} HTTP/1.1", "Host: relay", f"Authorization: Bearer {key}", *lines]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


class Served:
    """`caller`: the caller's end of the connection. `run` raises what the application raises through gunicorn."""

    def __init__(self, app: flask.Flask) -> None:
        self._app = app
        self._relays_end, self.caller = socket.socketpair()
        self.caller.settimeout(SECONDS_MAX)

    def run(self, request: bytes, more_environ: Mapping[str, Any] | None = None) -> None:
        """Serve it, as gunicorn.workers.base_async does; a response that was handled is left as it is."""
        config = Config()
        parsed = next(RequestParser(config, iter([request]), PEER))
        response, environ = wsgi.create(parsed, self._relays_end, PEER, PEER, config)
        environ.update(more_environ or {})
        try:
            chunks = self._app(environ, response.start_response)
        except StopIteration:  # the worker ends the connection at this, without a word
            return
        if chunks is ALREADY_HANDLED:
            return
        try:
            for chunk in chunks:
                response.write(chunk)
            response.close()
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def answer(self, request: bytes) -> bytes:
        """All bytes of its answer; the connection is closed by the relay's side afterwards."""
        reading = spawn(self._read_all)
        try:
            self.run(request)
        finally:
            with suppress(OSError):
                self._relays_end.shutdown(socket.SHUT_RDWR)
        received: bytes = reading.get(timeout=SECONDS_MAX)
        return received

    def close(self) -> None:
        self._relays_end.close()
        self.caller.close()

    def _read_all(self) -> bytes:
        received = b""
        while data := self.caller.recv(65_536):
            received += data
        return received
