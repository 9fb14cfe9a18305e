"""An event stream on its way: whole frames, what each of them means for the end, and a form that every SDK can read."""

from collections.abc import Callable

from relay.core.dialects import Dialect, Meaning
from relay.core.errors import IN_STREAM
from relay.core.flow import Ending
from relay.core.scrub import Scrubber
from relay.core.sse import BOM, PING, FrameParser, data_of, frames_in
from relay.core.usage import USAGE_HINTS, Usage, usage_in


def nothing_hidden(data: bytes) -> bool:
    """Every frame is the caller's."""
    return False


class SseFlow:
    """An event stream: whole frames only, in order, each as soon as it is complete.

    `is_hidden`: whether the frame with this data is for the relay alone (the usage that it asked for itself).
    `overflowed`: a frame grew past its bound; what comes behind the terminal frame does not count.
    """

    __slots__ = (
        "_carried", "_dialect", "_finished", "_ids_seen", "_is_hidden", "_parser", "_scrubber", "_suspects",
        "_told_error", "frames", "overflowed", "surplus", "terminal", "usage",
    )  # fmt: skip
    ends_with_its_body = False

    def __init__(
        self,
        dialect: Dialect,
        scrubber: Scrubber,
        frame_bytes_max: int,
        is_hidden: Callable[[bytes], bool] = nothing_hidden,
    ) -> None:
        self._dialect, self._scrubber, self._is_hidden = dialect, scrubber, is_hidden
        self._parser = FrameParser(frame_bytes_max)
        self._suspects = (*dialect.hints, *USAGE_HINTS)
        self._carried: dict[bytes, bytes] = {}
        self._finished = self._told_error = self._ids_seen = False
        self.terminal, self.frames, self.surplus, self.overflowed = b"", 0, False, False
        self.usage: Usage | None = None

    @property
    def ping(self) -> bytes:
        """The heartbeat.

        Once ids are in use openai-python takes any blank line for an event, so the comment goes without.
        """
        return PING[:-1] if self._ids_seen else PING

    def feed(self, payload: bytes) -> bytes:
        if self.terminal:
            self.surplus = self.surplus or bool(payload)
            return b""
        batch = self._parser.feed(payload)
        self.overflowed = self._parser.overflowed
        if not batch:
            return b""
        batch = self._scrubber.whole(batch)
        plain = self._plain_frames(batch)
        if plain:
            self.frames += plain
            return batch
        out = b"".join([self._take(frame) for frame in frames_in(batch)])
        if self.terminal:
            self.surplus, self.overflowed = self.surplus or self._parser.has_more, False
        return out

    def verdict(self, *, body_ended: bool) -> Ending:
        if self.terminal:
            return Ending("done", self.terminal, whole=True)
        if self._told_error:  # the upstream's own error frame was the last word
            return Ending("upstream_eof", code="upstream_error")
        if body_ended and self._finished:
            return Ending("done", self._dialect.closing, whole=True)
        return self.broken("upstream_eof" if body_ended else "truncated", "upstream_incomplete")

    def broken(self, end: str, code: str) -> Ending:
        return Ending(end, self._dialect.error_frame(code, IN_STREAM[code], "stream_error"), code=code)

    def _plain_frames(self, batch: bytes) -> int:
        """Number of frames where they are nothing but single data lines that need no closer look, else 0.

        A few passes in C for a whole read.
        """
        if self._carried or not batch.startswith(b"data: "):
            return 0
        frames = 1
        if batch.find(b"\n") != len(batch) - 2:
            frames = batch.count(b"\n\n")
            if batch.count(b"\n") != 2 * frames or batch.count(b"\n\ndata: ") != frames - 1:
                return 0
        for hint in self._suspects:  # as `_holds_any`, without its call: this is every frame's way
            if batch.find(hint) >= 0:
                return 0
        return frames

    def _take(self, frame: bytes) -> bytes:
        """Look at one frame: keep it as it is, hold it back, or bring it into a form that every SDK can read."""
        if self.terminal:  # nothing may follow it
            self.surplus = True
            return b""
        if self._plain_frames(frame):
            self.frames += 1
            return frame
        if frame.startswith(BOM):  # not at the body's start, so its line says nothing; at ours it would
            frame = b":" + frame
        if not _has_line(frame, b"data") or self._is_for_us_alone(frame):
            return self._without_data(frame)
        self._ids_seen = self._ids_seen or _has_line(frame, b"id")
        if self._carried:
            frame = b"".join(self._carried.values()) + frame
            self._carried.clear()
        self.frames += 1
        return self._read(frame)

    def _is_for_us_alone(self, frame: bytes) -> bool:
        """Take down a frame's usage; return whether the caller must not see the frame."""
        if not _holds_any(frame, USAGE_HINTS):
            return False
        data = data_of(frame)
        usage = usage_in(data)
        if usage is not None:
            self.usage = self.usage.merged(usage) if self.usage else usage
        return self._is_hidden(data)

    def _read(self, frame: bytes) -> bytes:
        if not _holds_any(frame, self._dialect.hints):
            return frame
        meaning = self._dialect.meaning(frame)
        self._finished = self._finished or meaning is Meaning.FINISH
        self._told_error = self._told_error or meaning is Meaning.ERROR
        if meaning is Meaning.TERMINAL:
            self.terminal = frame
            return b""
        return frame

    def _without_data(self, block: bytes) -> bytes:
        """A block without data makes openai-python fail: comments stay, `id` and `retry` move into the next frame."""
        comments = []
        for line in block.split(b"\n"):
            if line.startswith(b":"):
                comments.append(line + b"\n")
            else:
                self._carry(line)
        if not comments:
            return b""
        return b"".join(comments) + (b"" if self._ids_seen else b"\n")

    def _carry(self, line: bytes) -> None:
        """Keep what a client would; an id with a NUL and a retry of anything but digits mean nothing to it."""
        name, _, value = line.partition(b":")
        if name == b"id" and b"\0" not in value:
            self._carried[name] = line + b"\n"
            self._ids_seen = True
        elif name == b"retry" and value.removeprefix(b" ").isdigit():
            self._carried[name] = line + b"\n"


def _holds_any(data: bytes, hints: tuple[bytes, ...]) -> bool:
    """By `find` and not `in`, which first tries to take its bytes for a number; `any` would cost as much as all."""
    for hint in hints:  # noqa: SIM110
        if data.find(hint) >= 0:
            return True
    return False


def _has_line(frame: bytes, name: bytes) -> bool:
    """Whether one of the frame's lines is this field."""
    return (
        frame.startswith((name + b":", name + b"\n")) or b"\n" + name + b":" in frame or b"\n" + name + b"\n" in frame
    )
