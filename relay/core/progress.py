"""What the followers of a task are told: its stages, its text as it grows, and how it ended; numbered like a stream."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from relay.core.reading import read
from relay.core.sse import data_of, frames_in

# A stage's share of the whole, in percent.
STAGES: Mapping[str, int] = MappingProxyType(
    {"queued": 0, "initializing": 0, "sending_request": 10, "processing": 25, "receiving": 50}
)
MESSAGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": {
            "queued": "The task is in the queue",
            "initializing": "Initializing...",
            "sending_request": "Sending the request...",
            "processing": "The AI model is processing your request...",
            "receiving": "Receiving the answer...",
        },
        "de": {
            "queued": "Task in Warteschlange",
            "initializing": "Initialisiere...",
            "sending_request": "Sende Anfrage...",
            "processing": "KI-Modell verarbeitet Ihre Anfrage...",
            "receiving": "Antwort wird empfangen...",
        },
    }
)
# While text comes, the bar goes from 50 to 90, a point every ten code points.
TEXT_BEGINS, TEXT_ENDS, CODE_POINTS_A_POINT = 50, 90, 10


class _Told(msgspec.Struct):
    progress: int = 0


_told = msgspec.json.Decoder(_Told)

# Told of each event: the stage, the progress, and the event's own members.
Announce = Callable[[str, int, Mapping[str, object]], None]


def announce_nothing(stage: str, percent: int, fields: Mapping[str, object]) -> None:
    """Where nobody else listens."""


def percent_of(code_points: int) -> int:
    """How far a text of this length is."""
    return min(TEXT_BEGINS + code_points // CODE_POINTS_A_POINT, TEXT_ENDS)


def percent_in(frames: bytes) -> int:
    """The progress that the last of these frames tells; 0 where it tells none."""
    told = read(_told, data_of(frames_in(frames)[-1])) if frames else None
    return told.progress if told else 0


class Progress:
    """The events of one task, each as a frame with its number. `last_seq`: of the last one; `percent` never falls.

    `stage`: where it is, also once it has ended: `complete` or `failed`.
    """

    __slots__ = ("_announce", "_messages", "_prefix", "last_seq", "percent", "stage", "task_id")

    def __init__(
        self, stream_id: str, task_id: str, language: str, announce: Announce = announce_nothing, last_seq: int = 0
    ) -> None:
        self._prefix, self.task_id = b"id: %b:" % stream_id.encode(), task_id
        self._messages, self._announce = MESSAGES[language], announce
        self.last_seq, self.percent, self.stage = last_seq, 0, "queued"

    def status(self, stage: str, **more: object) -> bytes:
        """A stage begins."""
        self._at(stage, STAGES[stage])
        fields = {"stage": stage, "progress": self.percent, "message": self._messages[stage], "task_id": self.task_id}
        return self._event("status", {**fields, **more})

    def text(self, chunk: str, total_length: int) -> bytes:
        """More text came; `total_length`: code points so far."""
        self._at("receiving", percent_of(total_length))
        return self._event("progress", {"chunk": chunk, "progress": self.percent, "total_length": total_length})

    def complete(self, fields: Mapping[str, object]) -> bytes:
        """It is done."""
        self._at("complete", 100)
        return self._event("complete", dict(fields))

    def failed(self, error: Mapping[str, object]) -> bytes:
        """It is over; the progress stays what it was."""
        self._at("failed", self.percent)
        return self._event("failed", {"error": dict(error), "stage": "failed"})

    def _at(self, stage: str, percent: int) -> None:
        self.stage, self.percent = stage, max(self.percent, percent)

    def _event(self, name: str, fields: dict[str, object]) -> bytes:
        self.last_seq += 1
        self._announce(self.stage, self.percent, fields)
        data = msgspec.json.encode(fields)
        return b"%b%d\nevent: %b\ndata: %b\n\n" % (self._prefix, self.last_seq, name.encode(), data)
