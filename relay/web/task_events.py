"""A task's kept events as its two names show them, and the last of them read."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from relay.core.kept import Kept
from relay.core.reading import read
from relay.core.sse import data_frame, data_of, frames_in
from relay.stores.task_board import Standing

FAILED = b"\nevent: failed\n"


class _Failed(msgspec.Struct):
    error: dict[str, Any]


_failed = msgspec.json.Decoder(_Failed)
_members = msgspec.json.Decoder(dict[str, Any])


def as_it_is(kept: Kept) -> Kept:
    """The events under their own names."""
    return kept


def as_alias(kept: Kept) -> Any:
    """The same events, with a failure called `error` and its error a string, as the seed's pages read them."""
    return _View(kept, log=_AliasLog(kept.log))


def last_event(kept: Kept) -> Mapping[str, Any]:
    """The members of the last event that is kept."""
    frames = frames_in(kept.log.last_piece())
    return (read(_members, data_of(frames[-1])) if frames else None) or {}


def standing_of(known: Standing | None, told: Mapping[str, Any]) -> Standing:
    """Where a task stands: its last event says; when that was, and what a failure had reached, is known beside."""
    updated_at, reached = (known.updated_at, known.progress) if known else (0.0, 0)
    if "response" in told:
        return Standing("complete", 100, updated_at)
    if "error" in told:
        return Standing("failed", reached, updated_at)
    return Standing(str(told.get("stage", "receiving")), int(told.get("progress", 0)), updated_at)


def iso_time(epoch_seconds: float) -> str:
    """A moment in ISO 8601, UTC."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def failure_as_error(frames: bytes) -> bytes:
    """Frames in which a terminal `failed` is an `error`, under the same number."""
    return b"".join(map(_translated, frames_in(frames))) if FAILED in frames else frames


def _translated(frame: bytes) -> bytes:
    failed = read(_failed, data_of(frame)) if FAILED in frame else None
    if failed is None:
        return frame
    number = frame.split(b"\n", 1)[0] + b"\n"
    message = str(failed.error.get("message", ""))
    return number + data_frame(msgspec.json.encode({"error": message, "stage": "failed"}), "error")


class _View:
    """Something with some of its attributes replaced."""

    def __init__(self, viewed: Any, **replaced: Any) -> None:
        self._viewed = viewed
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._viewed, name)


class _AliasLog(_View):
    def read(self, after: int, bytes_max: int) -> tuple[bytes, int]:
        """As the log's own."""
        data, last_seq = self._viewed.read(after, bytes_max)
        return failure_as_error(data), last_seq
