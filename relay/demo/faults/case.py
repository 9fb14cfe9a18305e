"""What a fault may use of the answer that it spoils."""

from collections.abc import Callable
from dataclasses import dataclass

from relay.demo.dialect import Answer
from relay.demo.script import CHUNKED, LAST_CHUNK, Pause, Script, chunks, head
from relay.demo.wire import Request

SILENCE = Pause(3_600)  # in practice: until the caller leaves


@dataclass(frozen=True)
class Case:
    """The right answer in pieces: frames where a stream was asked for, else the two halves of a JSON body."""

    request: Request
    dialect: Answer
    content_type: str
    begun: list[bytes]
    ended: list[bytes]
    interval_seconds: float

    @property
    def pieces(self) -> list[bytes]:
        return self.begun + self.ended

    def head(self, *headers: str) -> bytes:
        return head(200, self.content_type, CHUNKED, *headers)

    def start(self) -> Script:
        """The head and all that comes before the finish."""
        yield self.head()
        yield from self.paced(self.begun)

    def paced(self, pieces: list[bytes]) -> Script:
        return chunks(pieces, self.interval_seconds)

    def complete(self, pieces: list[bytes], *headers: str) -> Script:
        """These pieces as a well-framed answer."""
        yield self.head(*headers)
        yield from self.paced(pieces)
        yield LAST_CHUNK


Fault = Callable[[Case], Script]
