"""A relay that a test scripts, as its client meets it from another origin: CORS, numbered events, every misfortune."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tests.live.bench.conversation import Connection, Request
from tests.live.bench.node_page import CLIENT
from tests.live.bench.scripts import CHUNKED, DONE, Answer, chat_frame, data_frame, length
from tests.live.bench.wire import LAST_CHUNK, chunk

STREAM = "rs_0123456789abcdefghijkl"
EVENTS_PATH = f"/v1/streams/{STREAM}/events?ticket=t-1"
CANCEL_PATH = f"/v1/streams/{STREAM}/cancel?ticket=t-1"
RESUMABLE = (f"Relay-Stream-Id: {STREAM}", f"Relay-Stream-Url: {EVENTS_PATH}")
EXPOSED = "Relay-Stream-Id, Relay-Stream-Url, Retry-After, retry-after-ms, x-should-retry, X-Request-Id"
TEXTS = ["Hel", "lo ", "wörld", " \N{GRINNING FACE}", "\u2028", " end"]
READ_SECONDS = 0.02  # Chromium forgets what a page has not read yet when the connection breaks off close behind it
SOON = b"retry: 1\n"  # in a block, so that nobody waits for a second


def numbered(frame: bytes, seq: int, stream: str = STREAM) -> bytes:
    return f"id: {stream}:{seq}\n".encode() + frame


def answer_of(texts: Iterable[str] = TEXTS, end: bytes = DONE) -> list[bytes]:
    """The numbered events of a whole answer; the first tells to come back soon."""
    frames = [*map(chat_frame, texts), end]
    return [numbered((SOON if seq == 1 else b"") + frame, seq) for seq, frame in enumerate(frames, 1)]


@dataclass(frozen=True)
class Telling:
    """An event stream: of `events`, those behind the request's `Last-Event-ID`; of these the first `count`, and of the
    next one so many bytes; and then an `ending`: eof (clean), cut, reset, hold (nothing more comes), pings (nothing
    but), open (what follows is up to the caller).

    `before`: what is said first.
    """

    events: list[bytes]
    count: int | None = None
    ending: str = "eof"
    headers: tuple[str, ...] = RESUMABLE
    before: bytes = b""
    bytes_more: int = 0

    def __call__(self, conn: Connection, request: Request) -> None:
        last = (request.header("last-event-id") or ":0").rpartition(":")[2]
        conn.send(self.head(request))
        left = self.events[int(last) :]
        count = len(left) if self.count is None else self.count
        for piece in [self.before, *left[:count], b"".join(left[count:])[: self.bytes_more]]:
            if piece:
                conn.send(chunk(piece))
        getattr(self, f"_{self.ending}")(conn)

    def head(self, request: Request) -> bytes:
        return head(request, "200 OK", "Content-Type: text/event-stream; charset=utf-8", CHUNKED, *self.headers)

    def _eof(self, conn: Connection) -> None:
        conn.send(LAST_CHUNK)

    def _open(self, conn: Connection) -> None:
        """Leave it to who called."""

    def _cut(self, conn: Connection) -> None:
        conn.stall(READ_SECONDS)
        conn.close()

    def _reset(self, conn: Connection) -> None:
        conn.stall(READ_SECONDS)
        conn.reset()

    def _hold(self, conn: Connection) -> None:
        conn.wait_closed(20)
        conn.close()

    def _pings(self, conn: Connection) -> None:
        while True:
            conn.send(chunk(b": ping\n"))
            conn.stall(0.1)


def saying(status: str, value: object = None, *headers: str) -> Answer:
    """A whole answer in JSON, or without a body."""
    body = b"" if value is None else json.dumps(value).encode()

    def answer(conn: Connection, request: Request) -> None:
        framing = () if status.startswith("204") else ("Content-Type: application/json", length(len(body)))
        conn.send(head(request, status, *framing, *headers) + body)

    return answer


def refusing(status: str, code: str, *headers: str) -> Answer:
    """An error in the shape of the API's."""
    error = {"message": f"It is {code}.", "type": "some_error", "param": None, "code": code}
    return saying(status, {"error": error}, "X-Request-Id: req_1", *headers)


def error_event(code: str, **more: object) -> bytes:
    return data_frame(
        {"error": {"message": f"It is {code}.", "type": "stream_error", "param": None, "code": code, **more}}
    )


def hanging_up(conn: Connection, request: Request) -> None:
    conn.close()


def in_order(*answers: Answer) -> Answer:
    """The first request that counts gets the first answer, and so on; the last one serves all that follow.

    Preflights, looks at /health/live, cancels and the client's own file are answered beside.
    """
    left = itertools.chain(answers, itertools.repeat(answers[-1]))

    def answer(conn: Connection, request: Request) -> None:
        if request.method == "OPTIONS":
            conn.send(head(request, "204 No Content"))
        elif request.path == "/health/live":
            saying("200 OK", {"status": "live"})(conn, request)
        elif request.path.endswith("/relay-client.js"):
            body = CLIENT.read_bytes()
            conn.send(head(request, "200 OK", "Content-Type: text/javascript", length(len(body))) + body)
        elif "/cancel" in request.path:
            saying("200 OK", {"id": STREAM, "status": "cancelled"})(conn, request)
        else:
            next(left)(conn, request)

    return answer


def without_cors(answer: Answer) -> Answer:
    """The same from a server that lists no origin."""

    def answer_(conn: Connection, request: Request) -> None:
        answer(conn, replace(request, headers=[pair for pair in request.headers if pair[0].lower() != "origin"]))

    return answer_


def head(request: Request, status: str, *lines: str) -> bytes:
    """With the CORS headers of the relay, for whatever origin asks."""
    origin = request.header("origin")
    cors = (
        []
        if origin is None
        else [f"Access-Control-Allow-Origin: {origin}", f"Access-Control-Expose-Headers: {EXPOSED}"]
    )
    if request.method == "OPTIONS":
        allowed = request.header("access-control-request-headers") or ""
        cors += [f"Access-Control-Allow-Headers: {allowed}", "Access-Control-Allow-Methods: GET, POST"]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, *cors, "", ""]).encode("latin-1")
