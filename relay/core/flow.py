"""What an upstream's body means on its way to the caller: whole frames, what ends them, and how a stream ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from relay.core.dialects import Dialect, Meaning
from relay.core.errors import IN_STREAM
from relay.core.scrub import Scrubber
from relay.core.sse import PING, FrameParser, data_frame, data_of
from relay.core.usage import USAGE_HINTS, Usage, usage_in

# A JSON answer is copied for its `usage` up to this size; beyond it the usage stays unknown.
JSON_BYTES_MAX = 262_144
# A JSON answer that has to become one frame.
WRAPPED_BYTES_MAX = 1_048_576


@dataclass(frozen=True, slots=True)
class Ending:
    """How a body ended.

    `end`: the log line's word. `last`: bytes still owed. `whole`: the caller may take it for complete.
    """

    end: str
    last: bytes = b""
    whole: bool = False


class Flow(Protocol):
    """Turns payload into what the caller gets.

    `terminal`: the frame that ends the stream, held back. `surplus`: something came behind it. `ping`: the heartbeat,
    or nothing. `ends_with_its_body`: nothing but the last byte tells the caller that all is there.
    """

    ends_with_its_body: bool
    surplus: bool
    terminal: bytes
    frames: int
    usage: Usage | None

    @property
    def overflowed(self) -> bool: ...

    @property
    def ping(self) -> bytes: ...

    def feed(self, payload: bytes) -> bytes:
        """Return what may be delivered now."""

    def verdict(self, *, body_ended: bool) -> Ending:
        """Say how the stream ended, now that nothing more will come; `body_ended`: the HTTP framing was complete."""

    def broken(self, end: str, code: str) -> Ending:
        """Say that it was cut for the reason `code`."""


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


def _nothing(data: bytes) -> bool:
    return False


class SseFlow:
    """An event stream: whole frames only, in order, each as soon as it is complete.

    `is_hidden`: whether the frame with this data is for the relay alone (the usage that it asked for itself).
    """

    __slots__ = (
        "_carried", "_dialect", "_finished", "_ids_seen", "_is_hidden", "_parser", "_scrubber", "_suspects",
        "_told_error", "frames", "surplus", "terminal", "usage",
    )  # fmt: skip
    ends_with_its_body = False

    def __init__(
        self, dialect: Dialect, scrubber: Scrubber, frame_bytes_max: int, is_hidden: Callable[[bytes], bool] = _nothing
    ) -> None:
        self._dialect, self._scrubber, self._is_hidden = dialect, scrubber, is_hidden
        self._parser = FrameParser(frame_bytes_max)
        self._suspects = (*dialect.hints, *dialect.finish_hints, *USAGE_HINTS, b"\nid")
        self._carried: dict[bytes, bytes] = {}
        self._finished = self._told_error = self._ids_seen = False
        self.terminal, self.frames, self.surplus = b"", 0, False
        self.usage: Usage | None = None

    @property
    def overflowed(self) -> bool:
        return self._parser.overflowed

    @property
    def ping(self) -> bytes:
        """The heartbeat.

        Once ids are in use openai-python takes any blank line for an event, so the comment goes without.
        """
        return PING[:-1] if self._ids_seen else PING

    def feed(self, payload: bytes) -> bytes:
        if self.terminal:
            self.surplus = True
            return b""
        frames = self._parser.feed(payload)
        if not frames:
            return b""
        batch = self._scrubber.whole(b"".join(frames))
        if self._is_plain(batch, len(frames)):
            self.frames += len(frames)
            return batch
        return b"".join([self._take(self._scrubber.whole(frame)) for frame in frames])

    def verdict(self, *, body_ended: bool) -> Ending:
        if self.terminal:
            return Ending("done", self.terminal, whole=True)
        if body_ended and self._finished:
            return Ending("done", self._dialect.closing, whole=True)
        if self._told_error:  # the upstream's own error frame was the last word
            return Ending("upstream_eof")
        return self.broken("upstream_eof" if body_ended else "truncated", "upstream_incomplete")

    def broken(self, end: str, code: str) -> Ending:
        return Ending(end, self._dialect.error_frame(code, IN_STREAM[code], "stream_error"))

    def _is_plain(self, batch: bytes, frames: int) -> bool:
        """Whether the batch is nothing but data frames that need no closer look: a few passes in C for a whole read."""
        return (
            batch.startswith(b"data: ")
            and batch.count(b"\n\ndata: ") == frames - 1
            and not self._carried
            and not any(hint in batch for hint in self._suspects)
        )

    def _take(self, frame: bytes) -> bytes:
        """Look at one frame: keep it as it is, hold it back, or bring it into a form that every SDK can read."""
        if self.terminal:  # nothing may follow it
            self.surplus = True
            return b""
        if not _has_data(frame):
            return self._without_data(frame)
        self._ids_seen = self._ids_seen or frame.startswith(b"id") or b"\nid" in frame
        if self._carried:
            frame = b"".join(self._carried.values()) + frame
            self._carried.clear()
        kept = self._read(frame)
        self.frames += bool(kept or self.terminal)
        return kept

    def _read(self, frame: bytes) -> bytes:
        if any(hint in frame for hint in USAGE_HINTS) and self._is_only_counted(data_of(frame)):
            return b""
        self._finished = self._finished or self._dialect.shows_finish(frame)
        if any(hint in frame for hint in self._dialect.hints):
            meaning = self._dialect.meaning(frame)
            self._told_error = self._told_error or meaning is Meaning.ERROR
            if meaning is Meaning.TERMINAL:
                self.terminal = frame
                return b""
        return frame

    def _is_only_counted(self, data: bytes) -> bool:
        """Take down a frame's usage; return whether the caller must not see the frame."""
        usage = usage_in(data)
        if usage is not None:
            self.usage = self.usage.merged(usage) if self.usage else usage
        return self._is_hidden(data)

    def _without_data(self, block: bytes) -> bytes:
        """A block without data makes openai-python fail: comments stay, `id` and `retry` move into the next data
        frame.
        """
        comments = []
        for line in block.split(b"\n"):
            name = line.split(b":", 1)[0]
            if line.startswith(b":"):
                comments.append(line + b"\n")
            elif name in (b"id", b"retry"):
                self._carried[name] = line + b"\n"
                self._ids_seen = self._ids_seen or name == b"id"
        if not comments:
            return b""
        return b"".join(comments) + (b"" if self._ids_seen else b"\n")


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
        if self._status >= 400:
            return Ending("upstream_eof", self._dialect.wrapped_error(body, self._status))
        self.usage, self.frames = usage_in(body), 1
        one_line = body.replace(b"\r", b" ").replace(b"\n", b" ")  # JSON has no bare line ends within its strings
        return Ending("done", data_frame(one_line) + self._dialect.closing, whole=True)

    def broken(self, end: str, code: str) -> Ending:
        return Ending(end, self._dialect.error_frame(code, IN_STREAM[code], "stream_error"))


def _has_data(frame: bytes) -> bool:
    return frame.startswith((b"data:", b"data\n")) or b"\ndata:" in frame or b"\ndata\n" in frame
