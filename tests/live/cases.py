"""What the live tests of streams share: what is asked, how it is said, how the end is read, what is owed after."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.live.bench import leaks
from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, PeerGone
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import CHUNKED, CLOSE, Script, chat_frame, chat_stream, every_request, length, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, Head, chunk

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello"}]
ASK = {"model": "gpt-test", "messages": MESSAGES}
STREAM = {**ASK, "stream": True}
ONE = chat_frame("one")
FRAMINGS = ("chunked", "length", "close")
JSON = ("Content-Type", "application/json")


@dataclass
class Owed:
    """How many requests a test makes: each owes one log line. None: nobody can know how many arrived."""

    relay: RelayProcess
    lines_before: int
    requests: int | None = 1

    def line(self, number: int = 0, timeout_seconds: float = 2.0) -> dict[str, object]:
        """The log line of the test's first request to end, or of a later one."""
        index = self.lines_before + number
        until(lambda: len(self.relay.log_lines()) > index, timeout_seconds, f"log line {number} of this test")
        return self.relay.log_lines()[index]


@contextlib.contextmanager
def nothing_left(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    """Take the counts before a test, and see afterwards that all was given back and told."""
    before = leaks.baseline(relay, upstream)
    owed = Owed(relay, before.log_lines)
    yield owed
    until(lambda: relay.sockets_from_callers() == 0, what="the end of the callers' connections")
    if owed.requests is None:
        time.sleep(leaks.LOG_LAG_SECONDS)
        owed.requests = len(relay.log_lines()) - before.log_lines
    leaks.assert_back_to_baseline(relay, upstream, before, owed.requests)


def saying(pieces: Sequence[bytes], framing: str = "chunked", pause_seconds: float = 0.0) -> Script:
    """An event stream of these pieces to each request, one send and a pause each, ended cleanly in one of FRAMINGS."""
    header = {"chunked": CHUNKED, "close": CLOSE, "length": length(sum(map(len, pieces)))}[framing]
    is_chunked = framing == "chunked"

    def answer(conn: Connection, _: object) -> None:
        conn.send(sse_head(header))
        for piece in pieces:
            conn.send(chunk(piece) if is_chunked else piece)
            conn.stall(pause_seconds)
        if is_chunked:
            conn.send(LAST_CHUNK)
        if framing == "close":
            conn.close()

    return every_request(answer)


def endless(conn: Connection, piece: bytes, interval_seconds: float = 0.05) -> None:
    """Say `piece` for ever, a chunk each time; ends when the peer leaves."""
    while True:
        conn.send(chunk(piece))
        conn.stall(interval_seconds)


def held(conn: Connection, seconds_max: float = 20.0) -> None:
    """Say nothing more until the peer leaves."""
    if conn.wait_closed(seconds_max):
        raise PeerGone


def in_silence(conn: Connection) -> None:
    """One frame, and then nothing for as long as the caller stays."""
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    held(conn)


def stream(caller: RawCaller, path: str = CHAT, timeout_seconds: float = 10.0) -> tuple[bytes, bool]:
    """Ask for a stream; return its body, and whether the caller may take it for complete."""
    head = ask(caller, STREAM, path)
    assert (head.status, head.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    return caller.read_all(timeout_seconds), caller.ended_cleanly


def ask(caller: RawCaller, value: object = STREAM, path: str = CHAT, key: str | None = None) -> Head:
    """POST, and read the answer's head."""
    caller.post(path, value, key=key)
    return caller.read_answer_head()


def get(caller: RawCaller, path: str, *headers: tuple[str, str], key: str | None = None) -> Head:
    """GET, and read the answer's head."""
    caller.get(path, headers, key)
    return caller.read_answer_head()


def refusal(caller: RawCaller, head: Head) -> tuple[int, str]:
    """Status and code of an answer in the shape of OpenAI's errors, which must be our own."""
    assert head.header("relay-error-source") == "relay"
    error = json.loads(caller.read_all())["error"]
    assert {"message", "type", "param", "code"} == set(error)
    assert head.header("x-request-id")
    assert head.header("cache-control") == "no-store"
    return head.status, error["code"]


def fill_the_pool(upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller]) -> None:
    """Leave two idle connections to the upstream: what is sent on one of them is sent at once."""
    callers = [new_caller(), new_caller()]
    upstream.answer(saying(chat_stream("Hello"), pause_seconds=0.02))
    for caller in callers:
        caller.post(CHAT, STREAM)
    for caller in callers:
        assert caller.read_head()[0] == 200
        caller.read_all()
        caller.close()
    until(lambda: (upstream.open, upstream.busy) == (2, 0), what="two idle connections")


def error_code(frame: bytes) -> str:
    """The code within an error frame of any dialect."""
    data = next(line for line in frame.split(b"\n") if line.startswith(b"data: "))
    return str(json.loads(data.removeprefix(b"data: "))["error"]["code"])


def last_frame(body: bytes) -> bytes:
    assert body.endswith(b"\n\n"), f"an unfinished frame: {body[-200:]!r}"
    return body[:-2].rpartition(b"\n\n")[2] + b"\n\n"


def assert_within(seconds: float, since: float, at: float | None = None) -> None:
    """Times of time.monotonic(); `at`: now."""
    took = (time.monotonic() if at is None else at) - since
    assert took <= seconds, f"took {took:.2f} s, allowed are {seconds}"
