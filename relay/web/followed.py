"""A kept stream as a Flask response: replayed from a number on, then followed, on a caller's own socket."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import flask

from relay.core.dialects import Dialect
from relay.core.errors import IN_STREAM, RelayError
from relay.core.flow import Ending
from relay.core.head import BODILESS
from relay.core.kept import Kept
from relay.core.plain_flow import WRAPPED_BYTES_MAX, WrappedFlow
from relay.core.scrub import Scrubber
from relay.core.sse import frames_in
from relay.pump.departure import CallerGone
from relay.pump.takeover import caller_socket
from relay.web.answer import Gone

# Once ids are in use openai-python takes any blank line for an event, so the heartbeat goes without.
PING = b": ping\n"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one caller reads: the stream, from behind which number. `is_event_source`: on an events route a broken
    stream's connection ends whole, so that an EventSource comes back instead of giving up.
    """

    kept: Kept
    after: int
    dialect: Dialect
    is_event_source: bool


class Followed(flask.Response):
    """Writes what is kept and what is still to come."""

    def __init__(self, relay: Any, reading: Reading, presence: Any, headers: list[tuple[str, str]]) -> None:
        head = reading.kept.head
        assert head is not None
        super().__init__(status=200 if reading.is_event_source else head.status, headers=headers)
        self._relay, self._reading, self._presence = relay, reading, presence
        self._is_wrapped = not head.is_stream and (reading.is_event_source or presence.wire is not None)
        self._ping = PING if head.is_stream else b""
        self.automatically_set_content_length = False

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "HEAD" or self.status_code in BODILESS:
            return super().__call__(environ, start_response)
        if caller_socket(environ) is None:
            start_response(self.status, list(self.headers))
            return self._iterated()
        try:
            wire = self._presence.wire or self._relay.pump.open_wire(start_response, self.status, self.headers)
            return self._wrapped(wire) if self._is_wrapped else self._follow(wire)
        except CallerGone as gone:
            return Gone(gone)(environ, start_response)

    def _follow(self, wire: Any) -> Iterable[bytes]:
        reading, pump = self._reading, self._relay.pump
        pending = self._presence.take_pending()
        follower = pump.follow(reading.kept, reading.after, wire, pending, self._ping)
        record = flask.g.record
        record.end, record.first_at, record.bytes_out = follower.end, follower.first_at, follower.bytes_out
        if reading.kept.head is not None and reading.kept.head.is_stream:
            record.frames_out = max(0, follower.cursor - reading.after)
        if follower.failure is not None:
            self._relay.log.failure("follower", follower.failure)
        return pump.conclude(wire, follower.sink.pending, self._ending(follower.end))  # type: ignore[no-any-return]

    def _ending(self, end: str) -> Ending:
        """What is still owed to a caller whose follower ended so."""
        reading = self._reading
        if end == "done":
            outcome = reading.kept.outcome
            return Ending(end, whole=reading.is_event_source or (outcome is not None and outcome.whole))
        if reading.is_event_source:
            return Ending(end, whole=end in ("drained", "truncated"))
        if end == "drained" and self._ping:
            message = IN_STREAM["relay_draining"]
            return Ending(end, reading.dialect.error_frame("relay_draining", message, "stream_error"))
        return Ending(end)

    def _wrapped(self, wire: Any) -> Iterable[bytes]:
        """A body of another kind, for a caller that has been promised events: in one frame, when it is complete."""
        kept, record = self._reading.kept, flask.g.record
        assert kept.head is not None
        flow = WrappedFlow(self._reading.dialect, Scrubber(""), kept.head.status)
        flow.feed(self._collected())
        is_whole = kept.outcome is not None and kept.outcome.whole
        ending = flow.broken("oversize", "frame_too_large") if flow.overflowed else flow.verdict(body_ended=is_whole)
        if self._reading.is_event_source:
            ending = Ending(ending.end, _with_id(ending.last, kept), whole=True)
        record.end, record.bytes_out, record.first_at = ending.end, len(ending.last), time.monotonic()
        return self._relay.pump.conclude(wire, self._presence.take_pending(), ending)  # type: ignore[no-any-return]

    def _collected(self) -> bytes:
        """The body; nothing where this caller may not wait for it. Raises CallerGone."""
        try:
            with self._presence:
                body: bytes = self._relay.streams.collect(self._reading.kept, WRAPPED_BYTES_MAX + 1)
                return body
        except RelayError:
            return b""

    def _iterated(self) -> Iterator[bytes]:
        """Where there is no socket to take over: correct first, fast second."""
        yield from self._relay.streams.pieces(self._reading.kept, self._reading.after)


def _with_id(frames: bytes, kept: Kept) -> bytes:
    """The last of the frames named, so that an EventSource that comes back is told that it has all."""
    *others, last = frames_in(frames)
    return b"".join([*others, b"id: %b:%d\n" % (kept.subject.id.encode(), max(1, kept.log.last_seq)), last])
