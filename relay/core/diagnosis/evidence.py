"""What was measured through the public address. Seconds, unless a name says otherwise."""

from dataclasses import dataclass

from relay.core.diagnosis.arrivals import Arrival
from relay.core.reading import error_code

REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no whole answer. `kind`: dns, connect, tls, silence (nothing in time), closed (broken off)."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `status` 0: none came. `version`: 10 or 11. `body`: its first part. `seconds`: until its head."""

    status: int = 0
    version: int = 11
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    seconds: float = 0.0
    failure: Failure | None = None

    def all_of(self, name: str) -> list[str]:
        """Values of every header of this name, whatever its case."""
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def header(self, name: str) -> str:
        """They are one list (RFC 9110 5.3); "" where there is none."""
        return ", ".join(self.all_of(name))

    @property
    def code(self) -> str:
        """The code of an error of the relay's own, or ""."""
        return error_code(self.body)

    @property
    def shown(self) -> str:
        """For people: what came, or why nothing did."""
        if self.failure is not None and not self.status:
            return self.failure.detail
        return f"status {self.status}" + (f" {self.code}" if self.code else "")


@dataclass(frozen=True, slots=True)
class Arrived:
    """How a request looked when it reached the relay."""

    protocol: str
    headers: tuple[str, ...]
    origin_allowed: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """A self-test as it came. `ended`: with its terminal frame. `quiet_seconds`: without a byte: before the head, the
    longest in the stream, and the last, before it ended or broke.
    """

    answer: Answer
    frames: tuple[Arrival, ...] = ()
    arrived: Arrived | None = None
    ended: bool = False
    error: str = ""
    quiet_seconds: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def was_refused(self) -> bool:
        """Whether the relay itself did not send it, or not to its end: that says nothing of the way."""
        return bool(self.error or self.answer.code)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was asked; None is what was not.

    `path`: of the address; `found_at`: another path at which the relay answers. `sent_id`: the X-Request-Id of
    `dressed`, which asked with every header that a client may send and took gzip; `sent_names`: those headers.
    `by_other`: by X-API-Key, where Authorization was refused.
    """

    path: str
    origin: str
    live: Answer
    found_at: str | None = None
    unkeyed: Answer | None = None
    preflight: Answer | None = None
    plain: Stream | None = None
    by_other: Stream | None = None
    dressed: Stream | None = None
    sent_id: str = ""
    sent_names: tuple[str, ...] = ()
    silent: Stream | None = None

    @property
    def stream(self) -> Stream | None:
        """The paced stream that came, by whichever header its key was taken."""
        for stream in (self.plain, self.by_other):
            if stream is not None and stream.answer.status == 200:
                return stream
        return None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `name`: for programs. `measured`: the evidence. `remedy`: what to change."""

    name: str
    ok: bool
    says: str
    measured: str
    remedy: str = ""
