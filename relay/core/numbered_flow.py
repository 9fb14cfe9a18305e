"""The same flows for a stream that can be resumed: every frame carries its number, and an end is told once."""

from collections.abc import Callable
from dataclasses import replace

from relay.core.dialects import Dialect
from relay.core.errors import IN_STREAM
from relay.core.flow import Ending
from relay.core.plain_flow import PlainFlow
from relay.core.scrub import Scrubber
from relay.core.sse_flow import SseFlow, nothing_hidden

# Comments wait for the frame behind them; an upstream that sends nothing else must not fill the memory.
COMMENT_BYTES_MAX = 4_096


def numbered_error(stream_id: str, seq: int, dialect: Dialect, code: str) -> bytes:
    """The frame that tells why a stream that no flow makes any more ended."""
    return b"id: %b:%d\n%b" % (stream_id.encode(), seq, dialect.error_frame(code, IN_STREAM[code], "stream_error"))


class NumberedFlow(SseFlow):
    """An event stream whose frames carry `id: <stream>:<seq>`, seq gapless from 1, instead of the upstream's ids.

    `last_seq`: the number of the last frame that was handed out. Heartbeats are each follower's own.
    """

    __slots__ = ("_ending", "_held", "_prefix", "last_seq")
    ping = b""

    def __init__(
        self,
        stream_id: str,
        dialect: Dialect,
        scrubber: Scrubber,
        frame_bytes_max: int,
        is_hidden: Callable[[bytes], bool] = nothing_hidden,
    ) -> None:
        super().__init__(dialect, scrubber, frame_bytes_max, is_hidden)
        self._prefix = b"id: %b:" % stream_id.encode()
        self._held = b""
        self._ending: Ending | None = None
        self._ids_seen = True  # so that comments leave without a blank line, which openai-python takes for an event
        self.last_seq = 0

    def feed(self, payload: bytes) -> bytes:
        return self._numbered(super().feed(payload))

    def verdict(self, *, body_ended: bool) -> Ending:
        return self._ended(super().verdict(body_ended=body_ended))

    def broken(self, end: str, code: str) -> Ending:
        return self._ended(super().broken(end, code))

    def _ended(self, ending: Ending) -> Ending:
        """The first ending counts: a number is given once."""
        if self._ending is None:
            self._ending = replace(ending, last=self._numbered(ending.last))
        return self._ending

    def _numbered(self, batch: bytes) -> bytes:
        if not batch:
            return b""
        *blocks, comments = batch.split(b"\n\n")
        frames = []
        for block in blocks:
            self.last_seq += 1
            frames.append(b"%b%d\n%b%b\n\n" % (self._prefix, self.last_seq, self._held, block))
            self._held = b""
        if comments:
            self._held += comments if len(self._held) + len(comments) <= COMMENT_BYTES_MAX else b""
        return b"".join(frames)

    def _take(self, frame: bytes) -> bytes:
        lines = [line for line in frame.split(b"\n") if line != b"id" and not line.startswith(b"id:")]
        return super()._take(b"\n".join(lines))

    def _carry(self, line: bytes) -> None:
        if not line.startswith(b"id"):
            super()._carry(line)


class CountedFlow(PlainFlow):
    """A body that is no event stream, in pieces. `last_seq`: how many there were."""

    __slots__ = ("last_seq",)

    def __init__(self, scrubber: Scrubber, collected: bytearray | None) -> None:
        super().__init__(scrubber, collected)
        self.last_seq = 0

    def feed(self, payload: bytes) -> bytes:
        out = super().feed(payload)
        self.last_seq += bool(out)
        return out

    def verdict(self, *, body_ended: bool) -> Ending:
        ending = super().verdict(body_ended=body_ended)
        self.last_seq += bool(ending.last)
        return ending
