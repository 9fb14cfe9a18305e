"""GET /selftest: numbered, timestamped frames at a fixed pace, which show what the way to a caller does to a stream.

It is a request like any other: it holds a slot, counts on the rate, and ends when its caller leaves.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import flask

from relay.core.credentials import KeyRevoked
from relay.core.dialects import DONE, OPENAI
from relay.core.errors import IN_STREAM, RelayError
from relay.core.flow import Ending
from relay.core.pace import Pace
from relay.core.routes import Route
from relay.pump.departure import CallerGone
from relay.pump.takeover import Wire, caller_socket
from relay.web.answer import Gone
from relay.web.current import current_relay
from relay.web.events import EVENT_STREAM_HEADERS
from relay.web.incoming import Incoming
from relay.web.proxy import relay_request

SELFTEST = Route("/selftest", upstream_path="", method="GET", always_streams=True, scope="")
# Of these the caller is told whether they came through; their values it knows.
TOLD_HEADERS = (
    "Authorization",
    "X-API-Key",
    "Origin",
    "Last-Event-ID",
    "Idempotency-Key",
    "Relay-Resume",
    "X-Request-Id",
    "X-Forwarded-For",
)


def blueprint() -> flask.Blueprint:
    """The route of the self-test."""
    routes = flask.Blueprint("selftest", __name__)
    routes.add_url_rule(SELFTEST.path, "selftest", partial(relay_request, SELFTEST, selftest))
    return routes


def selftest(incoming: Incoming) -> flask.Response:
    """Admit the caller and be silent for as long as was asked; the frames go out with the response."""
    relay = current_relay()
    caller = relay.authenticator.identify(incoming.credentials)
    demo = relay.settings.demo
    pace = Pace(demo.selftest_frames, demo.selftest_interval_ms).asked(flask.request.args)
    incoming.receive_from(caller)
    if flask.request.method == "HEAD":
        relay.gate.show(caller, incoming)
        return flask.Response(headers=EVENT_STREAM_HEADERS)
    with ExitStack() as acquired:
        acquired.enter_context(relay.gate.admit(caller, incoming))
        with incoming.presence:
            time.sleep(pace.silence_seconds)
        flask.g.exchange = acquired.pop_all()
    return Paced(pace, incoming.presence, flask.g.exchange)


class Paced(flask.Response):
    """Sends the frames, each when it is due. `presence`: of the silence before; `held`: what the end releases."""

    def __init__(self, pace: Pace, presence: Any, held: ExitStack) -> None:
        super().__init__(headers=EVENT_STREAM_HEADERS)
        self._pace, self._presence, self._held = pace, presence, held
        self._record, self._pump = flask.g.record, current_relay().pump
        self._slow_seconds_max = current_relay().settings.stream.slow_reader_seconds_max

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if caller_socket(environ) is None:
            return self._iterated(environ, start_response)
        try:
            wire = self._presence.wire or self._pump.open_wire(start_response, self.status, self.headers)
        except CallerGone as gone:
            return Gone(gone)(environ, start_response)
        ending = self._send(environ, wire)
        self._record.end = ending.end
        self._held.close()  # the slot is free before the caller reads the end
        return self._pump.conclude(wire, b"", ending)  # type: ignore[no-any-return]

    def _send(self, environ: Any, wire: Wire) -> Ending:
        """Write all frames but the last; a caller that leaves, a revoked key or a restart ends it at once."""
        watched = self._pump.presence(environ, None)
        watched.names = self._presence.names
        wire.sock.settimeout(self._slow_seconds_max)
        try:
            with watched:
                wire.sock.sendall(self._presence.take_pending())
                for frame in self._frames(environ):
                    wire.sock.sendall(wire.framed(frame))
        except CallerGone as gone:
            return Ending(gone.end)
        except RelayError as error:
            return _told(error)
        except OSError as error:
            return Ending("client_slow" if isinstance(error, TimeoutError) else "client_gone")
        return Ending("done", DONE, whole=True)

    def _frames(self, environ: Any) -> Iterator[bytes]:
        record, arrived = self._record, _arrived(environ, self.headers)
        begun = time.monotonic()
        for number in range(1, self._pace.frames + 1):
            time.sleep(max(0.0, begun + self._pace.due_seconds(number) - time.monotonic()))
            frame = self._pace.frame(number, time.time(), time.monotonic() - begun, arrived)
            record.frames_out, record.bytes_out = number, record.bytes_out + len(frame)
            yield frame

    def _iterated(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Where there is no socket to take over: a departure shows at the next write."""
        flask.g.pop("exchange")  # from here on the response's close() releases it
        self.call_on_close(self._held.close)
        self.response = self._iteration(environ)
        return super().__call__(environ, start_response)

    def _iteration(self, environ: Any) -> Iterator[bytes]:
        yield from self._frames(environ)
        self._held.close()
        yield DONE


def _told(error: RelayError) -> Ending:
    end, code = ("revoked", "key_revoked") if isinstance(error, KeyRevoked) else ("drained", "relay_draining")
    return Ending(end, OPENAI.error_frame(code, IN_STREAM[code], "stream_error"))


def _arrived(environ: Mapping[str, Any], answered: Any) -> dict[str, object]:
    """How the request looked here, behind whatever is on the way; names of headers, never what they hold."""
    names = [name for name in TOLD_HEADERS if "HTTP_" + name.upper().replace("-", "_") in environ]
    origin_allowed = "Access-Control-Allow-Origin" in answered
    return {"protocol": environ["SERVER_PROTOCOL"], "headers": names, "origin_allowed": origin_allowed}
