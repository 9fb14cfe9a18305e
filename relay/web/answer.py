"""The exchange as a Flask response: taken over where there is a raw socket, iterated where there is none."""

from collections.abc import Iterable
from typing import Any

import flask

from relay.core.flow import Ending
from relay.exchange import Exchange
from relay.pump.takeover import HungUp, caller_socket, hang_up, open_wire
from relay.web.events import answer_headers

NO_BODY = (204, 304)


class Answer(flask.Response):
    """Streams an exchange to the caller.

    Until its body begins `flask.g.exchange` owns it, so that nothing can leak it.
    """

    def __init__(self, pump: Any, exchange: Exchange, presence: Any) -> None:
        super().__init__(status=exchange.upstream.status, headers=answer_headers(exchange.upstream))
        self._pump, self._exchange, self._presence = pump, exchange, presence
        self.automatically_set_content_length = False

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if self._presence.wire is not None:  # our head went out while the upstream was silent
            return self._pump.deliver(self._exchange, self._presence.wire, self._presence.take_pending())  # type: ignore[no-any-return]
        if environ["REQUEST_METHOD"] == "HEAD" or self.status_code in NO_BODY:
            self._exchange.close()
            return super().__call__(environ, start_response)
        if caller_socket(environ) is None:
            return self._iterated(start_response)
        try:
            wire = open_wire(start_response, self.status, self.headers)
        except Exception:
            flask.g.record.end, flask.g.record.error = "truncated", "internal_error"
            raise
        return self._pump.deliver(self._exchange, wire)  # type: ignore[no-any-return]

    def _iterated(self, start_response: Any) -> Iterable[bytes]:
        body: Iterable[bytes] = self._pump.iterate(self._exchange)
        try:
            start_response(self.status, list(self.headers))
        except Exception:
            flask.g.record.end, flask.g.record.error = "truncated", "internal_error"
            raise
        flask.g.pop("exchange")  # from here on the iterable's close() releases it
        return body


class OpenedError(flask.Response):
    """A refusal within a stream that is open already; the connection ends without a last chunk."""

    def __init__(self, pump: Any, presence: Any, frame: bytes) -> None:
        super().__init__()
        self._pump, self._presence, self._frame = pump, presence, frame

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        ending = Ending("upstream_eof", self._frame)
        return self._pump.conclude(self._presence.wire, self._presence.take_pending(), ending)  # type: ignore[no-any-return]


class Gone(flask.Response):
    """Nobody is left to answer."""

    default_status = 499

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        sock = caller_socket(environ)
        if sock is not None:
            hang_up(sock)
        raise HungUp
