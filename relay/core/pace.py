"""What a self-test sends: how many frames, how far apart, and after which silence."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from relay.core.errors import RelayError
from relay.core.sse import data_frame

FRAMES_MAX = 200
INTERVAL_MS = (10, 5_000)
SILENCE_SECONDS_MAX = 120


@dataclass(frozen=True, slots=True)
class Pace:
    """`frames`, one every `interval_ms`; `silence_seconds`: before the first, as of an upstream that thinks."""

    frames: int
    interval_ms: int
    silence_seconds: int = 0

    def asked(self, query: Mapping[str, str]) -> "Pace":
        """This pace with what the query says instead. Raises RelayError invalid_request."""
        return Pace(
            _whole(query, "frames", self.frames, 1, FRAMES_MAX),
            _whole(query, "interval_ms", self.interval_ms, *INTERVAL_MS),
            _whole(query, "silence_seconds", self.silence_seconds, 0, SILENCE_SECONDS_MAX),
        )

    def due_seconds(self, number: int) -> float:
        """When frame `number`, from 1, is sent, counted from the first."""
        return (number - 1) * self.interval_ms / 1000

    def frame(self, number: int, sent_at: float, elapsed_seconds: float, arrived: Mapping[str, object]) -> bytes:
        """Frame `number`. `sent_at`: UTC epoch seconds; `arrived`: how the request looked here, in the first one."""
        times = {"sent_at_ms": round(sent_at * 1000), "elapsed_ms": round(elapsed_seconds * 1000, 1)}
        told = {"arrived": arrived} if number == 1 else {}
        return data_frame(msgspec.json.encode({"n": number, "of": self.frames, **times, **told}))


def _whole(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    # int() would also take "+5", "1_0" and other scripts' digits
    if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    raise RelayError("invalid_request", f"{name} must be a whole number from {low} to {high}.", param=name)
