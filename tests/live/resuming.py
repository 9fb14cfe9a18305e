"""What the live tests of streams that are kept share: a numbered stream, the ways to come back, what is read then."""

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import DONE, Script, chat_frame, every_request, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, Head, chunk
from tests.live.cases import CHAT, STREAM, Owed, get

KEEP = ("Relay-Resume", "1")
LEAVING = (RawCaller.close, RawCaller.reset, RawCaller.half_close)
BEAT = b": ping\n"


@dataclass(frozen=True)
class Kept:
    """A stream as its first caller was told of it."""

    id: str
    url: str  # with a ticket

    @property
    def path(self) -> str:
        return f"/v1/streams/{self.id}"

    @property
    def ticket(self) -> str:
        return self.url.partition("?")[2]

    def event(self, seq: int) -> str:
        return f"{self.id}:{seq}"

    def frame(self, seq: int, said: bytes) -> bytes:
        return f"id: {self.event(seq)}\n".encode() + said

    def frames(self, said: Iterable[bytes]) -> bytes:
        return b"".join(self.frame(seq, frame) for seq, frame in enumerate(said, start=1))


def texts(count: int) -> list[bytes]:
    """A whole stream of so many deltas; its own frames count too."""
    return [*(chat_frame(f"{number:05} ") for number in range(count)), chat_frame("", "stop"), DONE]


def telling(frames: list[bytes], at_once: int = 0, pause_seconds: float = 0.0) -> Script:
    """All of them in as few writes as `at_once` frames each make, with pauses in between."""

    def answer(conn: Connection, _: object) -> None:
        conn.send(sse_head())
        for begin in range(0, len(frames), at_once or len(frames)):
            conn.send(b"".join(map(chunk, frames[begin : begin + (at_once or len(frames))])))
            conn.stall(pause_seconds)
        conn.send(LAST_CHUNK)

    return every_request(answer)


def kept_by(head: Head) -> Kept:
    assert head.status == 200, head
    id_, url = head.header("relay-stream-id"), head.header("relay-stream-url")
    assert id_ and url, head
    assert url.startswith(f"/v1/streams/{id_}/events?ticket=")
    return Kept(id_, url)


def begin(caller: RawCaller, *headers: tuple[str, str], value: object = STREAM, key: str | None = None) -> Kept:
    """Ask for a stream that is kept."""
    caller.post(CHAT, value, headers or [KEEP], key)
    return kept_by(caller.read_answer_head())


# How a caller comes back for what is behind frame `seq`; each returns the answer's head.
ComeBack = Callable[[RawCaller, Kept, int], Head]


def by_header(caller: RawCaller, kept: Kept, seq: int) -> Head:
    return get(caller, f"{kept.path}/events", *([("Last-Event-ID", kept.event(seq))] if seq else []))


def by_query(caller: RawCaller, kept: Kept, seq: int) -> Head:
    return get(caller, f"{kept.path}/events?last_event_id={kept.event(seq)}" if seq else f"{kept.path}/events")


def by_number(caller: RawCaller, kept: Kept, seq: int) -> Head:
    return get(caller, f"{kept.path}/events?starting_after={seq}")


def by_ticket(caller: RawCaller, kept: Kept, seq: int) -> Head:
    caller.get(kept.url, [("Last-Event-ID", kept.event(seq))] if seq else [], "")
    return caller.read_answer_head()


def by_post(caller: RawCaller, kept: Kept, seq: int) -> Head:
    caller.post(CHAT, STREAM, [("Last-Event-ID", kept.event(seq))])
    return caller.read_answer_head()


WAYS: dict[str, ComeBack] = {
    "Last-Event-ID": by_header,
    "last_event_id": by_query,
    "starting_after": by_number,
    "ticket": by_ticket,
    "POST": by_post,
}


def read_some(caller: RawCaller, count: int) -> bytes:
    """So many frames, or as many as there are; no heartbeats."""
    got = b""
    for _, frame in zip(range(count), caller.frames(), strict=False):
        got += frame.replace(BEAT, b"") if frame.startswith(BEAT) else frame
    return got


def last_seq(got: bytes) -> int:
    """The number of the last frame in what was read."""
    return int(got.rpartition(b"id: ")[2].partition(b"\n")[0].partition(b":")[2]) if got else 0


def cut_and_come_back(
    connect: Callable[[], RawCaller], places: list[int], come_back: ComeBack, dice: random.Random
) -> tuple[bytes, Kept]:
    """Read a stream that is cut behind each of these frames; return it as it was put together, and its name."""
    with connect() as caller:
        kept = begin(caller)
        got = read_some(caller, places[0])
        dice.choice(LEAVING)(caller)
    for seq, next_seq in zip(places, [*places[1:], 10**9], strict=True):
        assert last_seq(got) == seq
        with connect() as caller:
            head = come_back(caller, kept, seq)
            assert head.status == 200, head
            got += read_some(caller, next_seq - seq)
            dice.choice(LEAVING)(caller)
    return got, kept


def state(caller: RawCaller, kept: Kept) -> dict[str, object]:
    head = get(caller, kept.path)
    body: dict[str, object] = json.loads(caller.read_all())
    assert head.status == 200, body
    return body


def post(caller: RawCaller, path: str, key: str | None = None) -> tuple[int, dict[str, object]]:
    """A request without a body; status and JSON of its answer."""
    caller.request("POST", path, b"", [("Content-Length", "0")], key)
    head = caller.read_answer_head()
    body: dict[str, object] = json.loads(caller.read_all())
    return head.status, body


def asked(caller: RawCaller, name: str, value: object = STREAM) -> tuple[int, bytes]:
    """The whole answer to a request under an Idempotency-Key."""
    caller.post(CHAT, value, [("Idempotency-Key", name)])
    status = caller.read_answer_head().status
    return status, caller.read_all(20)


def calls(upstream: ScriptedUpstream) -> int:
    """How often the upstream was asked for an answer; a look at its health is none."""
    return sum(request.method == "POST" for request in upstream.requests)


def listing(caller: RawCaller, key: str | None = None) -> list[dict[str, object]]:
    """The streams of a key."""
    head = get(caller, "/v1/streams", key=key)
    assert head.status == 200
    data: list[dict[str, object]] = json.loads(caller.read_all())["data"]
    return data


def wait_for_calls(upstream: ScriptedUpstream, count: int = 1) -> None:
    """Until it was asked so often."""
    until(lambda: calls(upstream) >= count, 5, f"{count} calls")


def line_of(owed: Owed, **wanted: object) -> dict[str, object]:
    """The test's own log line with these values, once it is there."""

    def fitting() -> list[dict[str, object]]:
        return [line for line in owed.relay.log_lines()[owed.lines_before :] if wanted.items() <= line.items()]

    until(lambda: bool(fitting()), 8, f"a log line with {wanted}")
    return fitting()[-1]
