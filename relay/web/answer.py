"""The exchange as a Flask response: taken over where there is a raw socket, iterated where there is none."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import flask

from relay.core.flow import Ending
from relay.core.head import BODILESS
from relay.exchange import Exchange
from relay.pump.departure import CallerGone
from relay.pump.takeover import HungUp, caller_socket, hang_up
from relay.web.events import answer_headers


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
        if environ["REQUEST_METHOD"] == "HEAD" or self.status_code in BODILESS:
            self._exchange.close()
            return super().__call__(environ, start_response)
        if caller_socket(environ) is None:
            return self._iterated(start_response)
        with _told_if_refused():
            wire = self._pump.begin_wire(start_response, self.status, self.headers)
        self.headers.clear()  # a held stream needs no second copy of its head
        return self._pump.deliver(self._exchange, wire)  # type: ignore[no-any-return]

    def _iterated(self, start_response: Any) -> Iterable[bytes]:
        body: Iterable[bytes] = self._pump.iterate(self._exchange)
        with _told_if_refused():
            start_response(self.status, list(self.headers))
        flask.g.pop("exchange")  # from here on the iterable's close() releases it
        return body


@contextmanager
def _told_if_refused() -> Iterator[None]:
    """The server may refuse a head; then this is what became of the answer."""
    try:
        yield
    except Exception:
        flask.g.record.end, flask.g.record.error = "truncated", "internal_error"
        raise


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

    def __init__(self, gone: CallerGone) -> None:
        super().__init__(status=499)
        flask.g.record.status, flask.g.record.end = 499, gone.end

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        sock = caller_socket(environ)
        if sock is not None:
            hang_up(sock)
        raise HungUp
