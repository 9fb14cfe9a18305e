"""Bodies that are not event streams: as they are, or wrapped into a stream that was opened before they came."""

import msgspec

from relay.core.dialects import Dialect
from relay.core.errors import IN_STREAM
from relay.core.flow import Ending
from relay.core.reading import read
from relay.core.scrub import Scrubber
from relay.core.sse import PING, data_frame
from relay.core.usage import Usage, usage_in

# A JSON answer is copied for its `usage` up to this size; beyond it the usage stays unknown.
JSON_BYTES_MAX = 262_144
_any_json = msgspec.json.Decoder(msgspec.Raw)
# A JSON answer that has to become one frame.
WRAPPED_BYTES_MAX = 1_048_576


class PlainFlow:
    """A body that is not an event stream: bytes pass as they are. `collect`: it is JSON, read its usage at the end."""

    __slots__ = ("_collected", "_scrubber", "frames", "overflowed", "terminal", "usage")
    ping = b""
    ends_with_its_body = True
    surplus = False

    def __init__(self, scrubber: Scrubber, collected: bytearray | None) -> None:
        self._scrubber = scrubber
        self._collected = collected
        self.terminal, self.frames, self.overflowed = b"", 0, False
        self.usage: Usage | None = None

    def feed(self, payload: bytes) -> bytes:
        if self._collected is not None:
            self._collected += payload
            if len(self._collected) > JSON_BYTES_MAX:
                self._collected = None
        return self._scrubber.feed(payload)

    def verdict(self, *, body_ended: bool) -> Ending:
        if not body_ended:
            return self.broken("truncated", "")
        if self._collected:
            self.usage = usage_in(bytes(self._collected))
        return Ending("done", self._scrubber.flush(), whole=True)

    def broken(self, end: str, code: str) -> Ending:
        """No frame can be put into a body of another kind; the missing end tells."""
        return Ending(end)


class WrappedFlow:
    """A JSON answer within a stream that was opened before it came: one data frame and the end, or an error frame."""

    __slots__ = ("_body", "_dialect", "_scrubber", "_status", "frames", "overflowed", "surplus", "terminal", "usage")
    ping = PING
    ends_with_its_body = True

    def __init__(self, dialect: Dialect, scrubber: Scrubber, status: int) -> None:
        self._dialect, self._scrubber, self._status = dialect, scrubber, status
        self._body = bytearray()
        self.terminal, self.frames, self.overflowed, self.surplus = b"", 0, False, False
        self.usage: Usage | None = None

    def feed(self, payload: bytes) -> bytes:
        self._body += payload
        self.overflowed = len(self._body) > WRAPPED_BYTES_MAX
        return b""

    def verdict(self, *, body_ended: bool) -> Ending:
        if not body_ended:
            return self.broken("truncated", "upstream_incomplete")
        body = self._scrubber.whole(bytes(self._body))
        if self._status >= 400 or self._dialect.is_error(body):
            error = self._dialect.wrapped_error(body, self._status)
            return Ending("upstream_eof", self._scrubber.whole(error))  # reading it may have undone escapes
        if read(_any_json, body) is None:
            return self.broken("truncated", "upstream_bad_response")
        self.usage, self.frames = usage_in(body), 1
        one_line = body.replace(b"\r", b" ").replace(b"\n", b" ")  # JSON has no bare line ends within its strings
        return Ending("done", data_frame(one_line) + self._dialect.closing, whole=True)

    def broken(self, end: str, code: str) -> Ending:
        return Ending(end, self._dialect.error_frame(code, IN_STREAM[code], "stream_error"))
