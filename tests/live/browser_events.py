"""What a browser's EventSource dispatches for an event stream (WHATWG HTML, 9.2.6); none of the relay's code."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """One dispatched event, with the last event id as it stands then."""

    type: str
    data: str
    last_id: str


@dataclass
class _Reading:
    type: str = ""
    data: list[str] = field(default_factory=list)
    last_id: str = ""
    events: list[Event] = field(default_factory=list)

    def take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            self._dispatch()
        elif name == "event":
            self.type = value
        elif name == "data":
            self.data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value

    def _dispatch(self) -> None:
        if self.data:
            self.events.append(Event(self.type or "message", "\n".join(self.data), self.last_id))
        self.type, self.data = "", []


def browser_events(body: bytes) -> list[Event]:
    """The events of a whole body; a block without its blank line is discarded, as at the end of a stream."""
    text = body.decode("utf-8", errors="replace").removeprefix("\ufeff")
    reading = _Reading()
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        reading.take(line)
    return reading.events
