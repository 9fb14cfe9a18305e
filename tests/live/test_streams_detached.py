"""What becomes of a stream that nobody reads, that is cancelled, or forgotten: its upstream, its slot, its line."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, Script, chat_frame, every_request, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import (
    CHAT,
    ONE,
    STREAM,
    Owed,
    ask,
    assert_within,
    in_silence,
    nothing_left,
    refusal,
)
from tests.live.detaching import DETACH_SECONDS, began, in_silence_before_its_head, polite, soon_giving_up
from tests.live.resuming import KEEP, LEAVING, Kept, by_header, line_of, read_some, state, wait_for_calls

# It is looked twice a second who reads.
LATE_SECONDS_MAX = 2.0
NewCaller = Callable[[], RawCaller]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with soon_giving_up(module_upstream, tmp_path_factory.mktemp("relay")) as relay:
        yield relay


@pytest.fixture(scope="module")
def key(relay: RelayProcess) -> str:
    """One slot: every request shows that the one before gave it back."""
    return relay.create_key("one-slot", rpm=1_000_000, concurrent=1)


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        yield owed


def telling_when(release: Callable[[], bool], *frames: bytes) -> Script:
    """One frame, and once it is told to the others."""

    def answer(conn: Connection, _: object) -> None:
        conn.send(sse_head() + chunk(ONE))
        while not release():
            conn.stall(0.01)
        conn.send(b"".join(map(chunk, frames)) + LAST_CHUNK)

    return every_request(answer)


def status_of(caller: RawCaller, kept: Kept) -> object:
    return state(caller, kept)["status"]


@pytest.mark.parametrize(
    "leave",
    [RawCaller.close, *(pytest.param(leave, marks=pytest.mark.soak) for leave in LEAVING[1:])],
    ids=lambda leave: leave.__name__,
)
def test_what_nobody_reads_is_given_up_in_time_and_not_before(
    new_caller: NewCaller, upstream: ScriptedUpstream, owed: Owed, leave: Callable[[RawCaller], None]
) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    left = time.monotonic()
    leave(caller)
    closed = upstream.wait_for_peer_close(timeout_seconds=10)
    assert closed - left >= DETACH_SECONDS - 0.1
    assert_within(DETACH_SECONDS + LATE_SECONDS_MAX, left, closed)
    until(lambda: status_of(other, kept) == "cancelled", 5)
    until(lambda: len(owed.relay.log_lines()) > owed.lines_before, 5)
    [line] = [line for line in owed.relay.log_lines()[owed.lines_before :] if line["upstream_status"]]
    assert (line["end"], line["status"], line["frames_out"]) == ("client_gone", 200, 1)


def test_its_slot_stays_taken_and_is_free_then(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    began(caller)
    caller.close()
    assert refusal(other, ask(other)) == (429, "too_many_streams")
    upstream.wait_for_peer_close(timeout_seconds=10)
    upstream.forget()
    until(lambda: polite(other) == 200, 5)


def test_a_reader_keeps_it_alive(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence)
    caller, reader = new_caller(), new_caller()
    kept = began(caller)
    caller.close()
    assert by_header(reader, kept, 1).status == 200
    time.sleep(DETACH_SECONDS + 0.9)
    assert upstream.peer_closes == []
    left = time.monotonic()
    reader.close()
    closed = upstream.wait_for_peer_close(timeout_seconds=10)
    assert closed - left >= DETACH_SECONDS - 0.1


def test_a_short_absence_does_not_hurt_it(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    released: list[bool] = []
    upstream.answer(telling_when(lambda: bool(released), chat_frame("two"), chat_frame("", "stop"), DONE))
    caller, reader = new_caller(), new_caller()
    kept = began(caller)
    caller.close()
    time.sleep(DETACH_SECONDS / 2)
    assert by_header(reader, kept, 1).status == 200
    released.append(True)
    got = read_some(reader, 3)
    assert got == b"".join(
        kept.frame(seq, frame) for seq, frame in enumerate([chat_frame("two"), chat_frame("", "stop"), DONE], start=2)
    )


def test_what_is_to_be_finished_is_read_to_its_end(
    relay: RelayProcess, upstream: ScriptedUpstream, new_caller: NewCaller
) -> None:
    released: list[bool] = []
    upstream.answer(telling_when(lambda: bool(released), chat_frame("", "stop"), DONE))
    key = relay.create_key("finishing", rpm=1000, concurrent=5, detach="finish")
    with RawCaller(relay.port, key=key) as caller, RawCaller(relay.port, key=key) as other:
        kept = began(caller)
        caller.close()
        time.sleep(DETACH_SECONDS + 0.9)
        assert upstream.peer_closes == []
        released.append(True)
        until(lambda: status_of(other, kept) == "done", 5)
        assert state(other, kept)["last_seq"] == 3


def test_a_caller_that_leaves_before_the_answer_is_waited_for_too(
    new_caller: NewCaller, upstream: ScriptedUpstream, owed: Owed
) -> None:
    upstream.answer(in_silence_before_its_head)
    caller = new_caller()
    caller.post(CHAT, STREAM, [KEEP])
    wait_for_calls(upstream)
    left = time.monotonic()
    caller.close()
    closed = upstream.wait_for_peer_close(timeout_seconds=10)
    assert closed - left >= DETACH_SECONDS - 0.1
    line = line_of(owed, end="client_gone", status=499)
    assert line["error"] == "client_gone"
    owed.requests = 1


@pytest.mark.soak
def test_who_waits_for_an_answer_under_a_name_keeps_it_alive(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence_before_its_head)
    first, second = new_caller(), new_caller()
    for caller in (first, second):
        caller.post(CHAT, STREAM, [("Idempotency-Key", "attended")])
    wait_for_calls(upstream)
    time.sleep(0.3)
    first.close()
    time.sleep(DETACH_SECONDS + 0.9)
    assert upstream.peer_closes == []
    second.close()
    upstream.wait_for_peer_close(timeout_seconds=10)
