"""What an upstream's body means on its way to the caller: whole frames, what ends them, and how a stream ended."""

from dataclasses import dataclass, field
from typing import Protocol

from relay.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Ending:
    """How a body ended.

    `end`: the log line's word. `last`: bytes still owed. `whole`: the caller may take it for complete. `code`: what its
    error frame says, if there is one.
    """

    end: str
    last: bytes = b""
    whole: bool = False
    code: str = field(default="", compare=False)


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
