"""A task's request as the rooms see it: made of what was accepted, long after its caller was answered."""

from collections.abc import Callable
from typing import Any

from relay.core.placed_task import PlacedTask
from relay.core.request import forwarded_headers
from relay.core.routes import TASKS
from relay.core.targets import Target
from relay.tasks.sent_body import SentBody

USER_AGENT = "relay"


class TaskRequest:
    """`record`: its log line. `on_sent`: called when all of it was handed to the upstream's socket."""

    route = TASKS
    method, upstream_path = TASKS.method, TASKS.upstream_path
    streams, hides_usage, stream_id = True, False, ""

    def __init__(self, placed: PlacedTask, record: Any, on_sent: Callable[[], None]) -> None:
        self._placed, self._on_sent = placed, on_sent
        self.record, self.caller, self.model = record, placed.caller, placed.model
        self.body: Any = placed.body
        self.presence: Any = None
        self.held: Any = None
        self.limit_headers: list[tuple[str, str]] = []

    def headers_for(self, target: Target) -> dict[str, str]:
        """What goes to this upstream beside its credential. From here on the body is on its way."""
        self.body = SentBody(self._placed.body, self._on_sent)
        return {
            **forwarded_headers(self._placed.headers.get, target.forward_headers),
            "Content-Type": "application/json",
            "Content-Length": str(len(self._placed.body)),
            "Accept": "text/event-stream",
            "User-Agent": USER_AGENT,
            "X-Request-Id": self.record.request_id,
        }
