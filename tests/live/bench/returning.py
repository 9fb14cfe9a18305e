"""Callers of resumable streams who are cut, come back, and check every frame; and the upstream that they all share."""

import contextlib
import json
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.crew import MODELS
from tests.live.bench.scripts import DONE, Script, chat_frame, every_request, sse_head
from tests.live.bench.wire import LAST_CHUNK, chunk

CHAT = "/v1/chat/completions"
ASK = {"model": "gpt-test", "messages": [{"role": "user", "content": "Count"}], "stream": True}
PATIENCE_SECONDS = 30.0
Header = tuple[str, str]


@dataclass
class Counting:
    """An upstream that counts to `count`, `burst` frames and a pause in turn; `calls`: how often it was asked to.

    `peer_port`: from where it was asked last.
    """

    count: int
    burst: int
    pause_seconds: float
    calls: int = 0
    peer_port: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)
    stop_at: int = -1  # there it waits for `go_on`

    @property
    def texts(self) -> list[str]:
        return [f"{number} " for number in range(self.count)]

    @property
    def script(self) -> Script:
        return every_request(self._say)

    def _say(self, conn: Connection, request: Request) -> None:
        if request.method != "POST":
            return conn.send(MODELS)
        self.calls, self.peer_port = self.calls + 1, conn.sock.getpeername()[1]
        conn.send(sse_head())
        for number, text in enumerate(self.texts):
            if number == self.stop_at:
                while not self.go_on.is_set():
                    conn.stall(0.02)
            conn.send(chunk(chat_frame(text)))
            if number % self.burst == 0:
                conn.stall(self.pause_seconds)
        return conn.send(chunk(chat_frame("", "stop")) + chunk(DONE) + LAST_CHUNK)


@dataclass
class Taken:
    """What a caller has of a stream: `seq`, the number of its last frame, and the texts of all, in order.

    A frame that is missing, comes twice or belongs to another stream is an AssertionError.
    """

    stream_id: str = ""
    ticket_url: str = ""
    seq: int = 0
    texts: list[str] = field(default_factory=list)
    error: str = ""
    is_whole: bool = False

    @property
    def last_event_id(self) -> Header:
        return ("Last-Event-ID", f"{self.stream_id}:{self.seq}")

    def greet(self, headers: Iterable[Header]) -> None:
        """Learn what the stream is called."""
        found = {name.lower(): value for name, value in headers}
        assert found.get("relay-stream-id", self.stream_id) == (self.stream_id or found["relay-stream-id"])
        self.stream_id = found.get("relay-stream-id", self.stream_id)
        self.ticket_url = found.get("relay-stream-url", self.ticket_url)

    def take(self, frame: bytes) -> None:
        """One whole frame."""
        lines = frame.strip(b"\n").split(b"\n")
        [event_id] = [line.removeprefix(b"id: ").decode() for line in lines if line.startswith(b"id: ")]
        assert event_id == f"{self.stream_id}:{self.seq + 1}", f"{event_id} behind {self.seq}"
        self.seq += 1
        [data] = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
        if data == b"[DONE]":
            self.is_whole = True
            return
        value = json.loads(data)
        if "error" in value:
            self.error = value["error"]["code"]
        else:
            self.texts += [choice["delta"]["content"] for choice in value["choices"] if choice["delta"]]

    def read(self, caller: RawCaller, frames_max: float = float("inf")) -> "Taken":
        """Take frames until the stream ends or there were so many."""
        status, headers = caller.read_head(PATIENCE_SECONDS)
        assert status in (200, 204), (status, caller.read_all())
        self.greet(headers)
        return self.read_on(caller, frames_max)

    def read_on(self, caller: RawCaller, frames_max: float = float("inf")) -> "Taken":
        """The same behind the head, which was read before."""
        for came, frame in enumerate(caller.frames(PATIENCE_SECONDS) if frames_max else (), 1):
            self.take(frame)
            if came >= frames_max:
                break
        return self


def begin(port: int, key: str, *headers: Header) -> RawCaller:
    """Ask for a resumable stream."""
    caller = RawCaller(port, key=key)
    caller.post(CHAT, ASK, [("Relay-Resume", "1"), *headers])
    return caller


def come_back(port: int, key: str, taken: Taken, way: str = "events") -> RawCaller:
    """Ask for the rest, in one of the WAYS."""
    caller = RawCaller(port, key=key)
    ask_again(caller, taken, way)
    return caller


def ask_again(caller: RawCaller, taken: Taken, way: str = "events") -> None:
    """The same on a connection that is there."""
    if way == "ticket":
        caller.get(f"{taken.ticket_url}&last_event_id={taken.last_event_id[1]}", key="")
    elif way == "post":
        caller.post(CHAT, ASK, [taken.last_event_id])
    else:
        caller.get(f"/v1/streams/{taken.stream_id}/events", [taken.last_event_id])


WAYS = ("events", "ticket", "post")


def read_with_cuts(ports: list[int], key: str, points: list[int], dice: random.Random) -> Taken:
    """Read one stream to its end; behind each of the points the connection is cut, at any byte of the next frame."""
    taken = Taken()
    with contextlib.ExitStack() as stack:
        caller = stack.enter_context(begin(dice.choice(ports), key))
        for point in points:
            if point > taken.seq:
                taken.read(caller, point - taken.seq)
            caller.reset()
            caller = stack.enter_context(come_back(dice.choice(ports), key, taken, dice.choice(WAYS)))
        return taken.read(caller)


def state_of(port: int, key: str, stream_id: str) -> dict[str, object]:
    """What GET /v1/streams/{id} says; `status_code` beside it."""
    with RawCaller(port, key=key) as caller:
        caller.get(f"/v1/streams/{stream_id}")
        status, _ = caller.read_head()
        return {**json.loads(caller.read_all()), "status_code": status}
