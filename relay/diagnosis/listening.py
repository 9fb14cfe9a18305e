"""Takes a self-test's frames and the times at which they came."""

import time
from dataclasses import replace
from typing import Any

import msgspec

from relay.core.diagnosis.arrivals import Arrival
from relay.core.diagnosis.evidence import Answer, Arrived, Failure, Stream
from relay.core.reading import error_code, read
from relay.core.sse import FrameParser, data_of, frames_in

FRAME_BYTES_MAX = 65_536
DONE = b"[DONE]"


class _Frame(msgspec.Struct):
    n: int
    sent_at_ms: float
    arrived: dict[str, Any] = {}


_frame = msgspec.json.Decoder(_Frame)


class Listener:
    """One stream as it comes. `head_seconds`: how long its head took."""

    def __init__(self, head_seconds: float) -> None:
        self._parser = FrameParser(FRAME_BYTES_MAX)
        self._frames: list[Arrival] = []
        self._arrived: Arrived | None = None
        self._ended, self._error = False, ""
        self._before, self._longest, self._heard_at = head_seconds, 0.0, time.monotonic()

    def take(self, data: bytes) -> None:
        """Take what came just now."""
        came_ms, now = time.time() * 1000, time.monotonic()
        self._longest, self._heard_at = max(self._longest, now - self._heard_at), now
        for frame in frames_in(self._parser.feed(data)):
            self._read(data_of(frame), came_ms)

    def stream(self, head: Answer, failure: Failure | None) -> Stream:
        """What came, once nothing more comes."""
        last = time.monotonic() - self._heard_at
        return Stream(
            replace(head, failure=failure),
            tuple(self._frames),
            self._arrived,
            self._ended,
            self._error,
            (self._before, self._longest, last),
        )

    def _read(self, data: bytes, came_ms: float) -> None:
        self._ended = self._ended or data == DONE
        self._error = self._error or error_code(data)
        frame = read(_frame, data)
        if frame is None:
            return
        self._frames.append(Arrival(frame.n, frame.sent_at_ms, came_ms))
        if frame.arrived:
            self._arrived = _arrived(frame.arrived)


def _arrived(told: dict[str, Any]) -> Arrived:
    return Arrived(
        str(told.get("protocol")), tuple(map(str, told.get("headers", ()))), bool(told.get("origin_allowed"))
    )
