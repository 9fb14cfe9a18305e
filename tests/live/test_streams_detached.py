"""What becomes of a stream that nobody reads, that is cancelled, or forgotten: its upstream, its slot, its line."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, Script, chat_frame, error_answer, every_request, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import (
    ASK,
    CHAT,
    ONE,
    STREAM,
    Owed,
    ask,
    assert_within,
    error_code,
    held,
    in_silence,
    last_frame,
    nothing_left,
    refusal,
)
from tests.live.conftest import SHORT_LIMITS
from tests.live.resuming import KEEP, LEAVING, Kept, begin, by_header, listing, post, read_some, state

DETACH_SECONDS = 1.0
# It is looked twice a second who reads.
LATE_SECONDS_MAX = 2.0
NewCaller = Callable[[], RawCaller]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    times = {
        "RELAY_RESUME__DETACH_SECONDS": str(DETACH_SECONDS),
        "RELAY_STREAM__IDLE_SECONDS_MAX": "60",
        "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "60",
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), {**SHORT_LIMITS, **times})
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(scope="module")
def key(relay: RelayProcess) -> str:
    """One slot: every request shows that the one before gave it back."""
    return relay.create_key("one-slot", rpm=1_000_000, concurrent=1)


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        yield owed


def in_silence_before_its_head(conn: Connection) -> None:
    conn.read_request()
    held(conn)


def telling_when(release: Callable[[], bool], *frames: bytes) -> Script:
    """One frame, and once it is told to the others."""

    def answer(conn: Connection, _: object) -> None:
        conn.send(sse_head() + chunk(ONE))
        while not release():
            conn.stall(0.01)
        conn.send(b"".join(map(chunk, frames)) + LAST_CHUNK)

    return every_request(answer)


def began(caller: RawCaller) -> Kept:
    """A silent stream of one frame, and its caller has it."""
    kept = begin(caller)
    caller.read_until(ONE)
    return kept


def status_of(caller: RawCaller, kept: Kept) -> object:
    return state(caller, kept)["status"]


@pytest.mark.parametrize("leave", LEAVING, ids=lambda leave: leave.__name__)
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


def polite(caller: RawCaller) -> int:
    status = ask(caller, ASK).status
    caller.read_all()
    return status


def test_a_reader_keeps_it_alive(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence)
    caller, reader = new_caller(), new_caller()
    kept = began(caller)
    caller.close()
    assert by_header(reader, kept, 1).status == 200
    time.sleep(DETACH_SECONDS + 1.2)
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
        time.sleep(DETACH_SECONDS + 1.2)
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
    upstream.wait_for_requests()
    left = time.monotonic()
    caller.close()
    closed = upstream.wait_for_peer_close(timeout_seconds=10)
    assert closed - left >= DETACH_SECONDS - 0.1
    line = owed.relay.wait_for_log_line(end="client_gone", status=499)
    assert line["error"] == "client_gone"
    owed.requests = 1


def test_who_waits_for_an_answer_under_a_name_keeps_it_alive(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence_before_its_head)
    first, second = new_caller(), new_caller()
    for caller in (first, second):
        caller.post(CHAT, STREAM, [("Idempotency-Key", "attended")])
    upstream.wait_for_requests()
    time.sleep(0.3)
    first.close()
    time.sleep(DETACH_SECONDS + 1.2)
    assert upstream.peer_closes == []
    second.close()
    upstream.wait_for_peer_close(timeout_seconds=10)


# Cancelled.


@pytest.mark.parametrize("times", [1, 3])
def test_a_cancel_stops_the_upstream_at_once_and_may_be_repeated(
    new_caller: NewCaller, upstream: ScriptedUpstream, owed: Owed, times: int
) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    asked = time.monotonic()
    for _ in range(times):
        assert post(other, f"{kept.path}/cancel") == (200, {"id": kept.id, "status": "cancelled"})
    assert_within(1.0, asked, upstream.wait_for_peer_close(timeout_seconds=5))
    body = caller.read_all()
    assert (error_code(last_frame(body)), caller.ended_cleanly) == ("cancelled", False)
    assert body.endswith(b"\n\n")
    assert f"id: {kept.event(2)}\n".encode() in body
    told = state(other, kept)
    assert (told["status"], told["error"], told["last_seq"]) == ("cancelled", {"code": "cancelled"}, 2)
    owed.relay.wait_for_log_line(end="cancelled", status=200, frames_out=1)
    assert len(upstream.peer_closes) == 1


def test_the_slot_of_a_cancelled_stream_is_free_before_its_last_frame(
    new_caller: NewCaller, upstream: ScriptedUpstream
) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    post(other, f"{kept.path}/cancel")
    caller.read_until(b'"code":"cancelled"')
    upstream.forget()
    assert polite(other) == 200


def test_the_slot_of_a_whole_stream_is_free_before_its_terminal_frame(
    new_caller: NewCaller, upstream: ScriptedUpstream
) -> None:
    for _ in range(20):
        caller, other = new_caller(), new_caller()
        begin(caller)
        caller.read_until(DONE)
        assert polite(other) == 200


def test_a_stream_is_cancelled_while_it_opens(new_caller: NewCaller, upstream: ScriptedUpstream, owed: Owed) -> None:
    upstream.answer(in_silence_before_its_head)
    caller, other = new_caller(), new_caller()
    caller.post(CHAT, STREAM, [KEEP])
    upstream.wait_for_requests()
    [listed] = [stream for stream in listing(other) if stream["status"] == "opening"]
    asked = time.monotonic()
    assert post(other, f"/v1/streams/{listed['id']}/cancel")[1]["status"] == "cancelled"
    assert_within(1.0, asked, upstream.wait_for_peer_close(timeout_seconds=5))
    assert caller.read_answer_head().status == 200
    assert error_code(last_frame(caller.read_all())) == "cancelled"
    owed.relay.wait_for_log_line(end="cancelled", status=499)


def test_json_that_is_cancelled_while_it_opens_is_refused(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence_before_its_head)
    caller, other = new_caller(), new_caller()
    caller.post(CHAT, ASK, [("Idempotency-Key", "no stream")])
    upstream.wait_for_requests()
    [listed] = [stream for stream in listing(other) if stream["status"] == "opening"]
    post(other, f"/v1/streams/{listed['id']}/cancel")
    assert refusal(caller, caller.read_answer_head()) == (499, "client_gone")


def test_who_follows_hears_of_the_cancel_and_of_the_whole_end(
    new_caller: NewCaller, upstream: ScriptedUpstream
) -> None:
    upstream.answer(in_silence)
    caller, follower, other = new_caller(), new_caller(), new_caller()
    kept = began(caller)
    assert by_header(follower, kept, 0).status == 200
    post(other, f"{kept.path}/cancel")
    body = follower.read_all()
    assert (error_code(last_frame(body)), follower.ended_cleanly) == ("cancelled", True)
    assert by_header(follower, kept, 2).status == 204


def test_a_live_stream_that_is_forgotten_ends_and_never_was(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    other.request("DELETE", kept.path)
    assert other.read_answer_head().status == 204
    upstream.wait_for_peer_close(timeout_seconds=2)
    assert error_code(last_frame(caller.read_all())) == "cancelled"
    assert refusal(other, by_header(other, kept, 0)) == (404, "stream_not_found")
    upstream.forget()
    assert polite(other) == 200


def test_a_live_stream_stands_in_its_owners_list(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    [listed] = [stream for stream in listing(other) if stream["id"] == kept.id]
    assert (listed["status"], listed["frames"], listed["expires_at"]) == ("live", 1, None)
    post(other, f"{kept.path}/cancel")


def test_an_upstreams_error_gives_its_slot_back(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(every_request(lambda conn, _: conn.send(error_answer("500 Oops", "its_own"))))
    caller = new_caller()
    for _ in range(5):
        caller.post(CHAT, STREAM, [KEEP])
        assert caller.read_answer_head().status == 500
        caller.read_all()
