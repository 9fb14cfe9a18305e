"""What a task is made of: its walk through the corridor, with each stage told, and its end told once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay.core.credentials import KeyRevoked
from relay.core.dialects import OPENAI
from relay.core.errors import RelayError, error_object
from relay.core.flow import Flow
from relay.core.kept import Kept, Outcome
from relay.core.placed_task import PlacedTask
from relay.core.plain_flow import WrappedFlow
from relay.core.progress import Progress
from relay.core.scrub import Scrubber
from relay.core.sse_flow import SseFlow
from relay.core.task_flow import TaskFlow, Telling, error_in_stream, in_language
from relay.tasks.task_request import TaskRequest

# What the log says of a task that ended before its upstream answered.
STATUSES = {"cancelled": 499, "deadline": 504, "drained": 503}


@dataclass(frozen=True, slots=True)
class Corridor:
    """What a task needs of the other rooms. `walk`: as far as the upstream's answer; `tell`: accounts for a request.

    `require_key`: raises RelayError where the key was revoked meanwhile; `give_back`: its slot, as often as one likes;
    `telling`, `code_points_max`: of the answer.
    """

    walk: Callable[[TaskRequest], Any]
    require_key: Callable[[tuple[str, ...]], None]
    give_back: Callable[[], None]
    tell: Callable[[Any], None]
    telling: Telling
    code_points_max: int


class TaskWork:
    """`hurry`: called when it is to end while it may still be waiting for its turn. `record`: its log line."""

    detach = "finish"  # a task goes on without readers

    def __init__(self, placed: PlacedTask, kept: Kept, record: Any, progress: Progress, corridor: Corridor) -> None:
        self._kept, self._record, self._progress = kept, record, progress
        self._corridor, self._telling = corridor, corridor.telling
        self.request = TaskRequest(placed, record, self._sent)
        self.names = placed.caller.names
        self.hurry: Callable[[], None] = _nothing

    def open(self, presence: Any, stream_id: str) -> Any:
        """The exchange, with a flow that tells the progress. Raises RelayError."""
        self._stage("initializing")
        self._corridor.require_key(self.names)
        self.request.presence = presence
        self._record.received_at = time.monotonic()  # its turn begins: waiting for it is nobody's overhead
        self._stage("sending_request")
        exchange = self._corridor.walk(self.request)
        scrubber = Scrubber(exchange.upstream.target.api_key)
        exchange.flow = TaskFlow(
            _chat(exchange, scrubber), scrubber, self._progress, self._telling, self._corridor.code_points_max
        )
        return exchange

    def answered(self, upstream: Any) -> None:
        """The upstream's head is there. One that answers before it has read all has skipped a stage."""
        if self._progress.stage == "sending_request":
            self._stage("processing")
        if upstream.status < 400:
            self._stage("receiving")

    def refused(self, error: RelayError) -> None:
        """No answer came."""
        self._record.status, self._record.error = error.kind.status, error.code
        self._record.upstream_status = error.upstream_status
        if error.code == "draining":
            self._end("failed", "drained", error_in_stream("relay_draining"))
        elif isinstance(error, KeyRevoked):
            self._end("failed", "revoked", error_in_stream("key_revoked"))
        else:
            self._end("failed", self._record.end, error_object(error.code, error.message, error.kind.type, error.param))

    def cancelled(self, end: str, code: str) -> None:
        """Somebody wanted it to end before the upstream answered, or its time was up, or the process ends."""
        self._record.status, self._record.error = STATUSES[end], code
        self._end("cancelled" if end == "cancelled" else "failed", end, error_in_stream(code))

    def lost(self) -> None:
        """The process that ran it is gone, and it must not be run again."""
        self._record.status, self._record.error = 500, "worker_lost"
        self._end("failed", "truncated", error_in_stream("worker_lost"))

    def _end(self, status: str, end: str, error: dict[str, object]) -> None:
        """Account for it, free the slot, then tell: who reads the last event may begin the next task."""
        self._record.end = end
        self._corridor.tell(self._record)
        self._corridor.give_back()
        self._say(self._progress.failed(in_language(error, self._telling.messages)))
        self._kept.end(Outcome(status, whole=False, error=str(error["code"])))

    def _sent(self) -> None:
        self._stage("processing")

    def _stage(self, stage: str) -> None:
        self._say(self._progress.status(stage))

    def _say(self, frame: bytes) -> None:
        self._kept.append(frame, self._progress.last_seq)


def _chat(exchange: Any, scrubber: Scrubber) -> Flow:
    """The answer as a chat stream, whatever kind of body the upstream chose to send."""
    flow: Flow = exchange.flow
    if isinstance(flow, SseFlow):
        return flow
    return WrappedFlow(OPENAI, scrubber, exchange.upstream.status)


def _nothing() -> None:
    """It waits for no turn."""
