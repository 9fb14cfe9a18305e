"""What goes wrong behind an upstream's head: FAULTS D7 to D10 and D14, over plain and TLS upstreams."""

import time
from collections.abc import Callable

import pytest

from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import (
    CLOSE,
    Script,
    chat_completion,
    chat_frame,
    chat_stream,
    in_turn,
    json_answer,
    length,
    polite,
    sse_head,
)
from tests.live.bench.wire import chunk
from tests.live.misbehaviour import BODY, Held, cpu_seconds, ending, say_no_more, stalling
from tests.live.pairs import EARLY_SECONDS_MAX, IDLE_SECONDS, LATE_SECONDS_MAX, Case, assert_refused

pytest_plugins = ["tests.live.shared_pairs"]

FRAMES = [chat_frame("one"), chat_frame("two")]
HALF = BODY[:60]
JSON_HEAD = json_answer(chat_completion("Hello world")).removesuffix(BODY)
CHUNKED_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_d7_a_reset_stream_delivers_what_came_and_tells(case: Case) -> None:
    script = Held(first=sse_head() + b"".join(map(chunk, FRAMES)) + chunk(b'data: {"half'), leave=Connection.reset)
    case.upstream.answer(script)
    caller = case.ask(stream=True)
    caller.read_answer_head()
    assert [caller.read_until(b"\n\n") for _ in FRAMES] == FRAMES
    script.now.set()
    error = caller.read_all()
    assert b'"code":"upstream_disconnected"' in error and error.count(b"data: ") == 1
    assert b"half" not in caller.received
    assert not caller.ended_cleanly
    case.assert_logged(end="reset", status=200, upstream_status=200, frames_out=2)


def test_d7_a_reset_json_answer_is_cut(case: Case) -> None:
    script = Held(first=JSON_HEAD + HALF, leave=Connection.reset)
    case.upstream.answer(script)
    caller = case.ask(stream=False)
    caller.read_answer_head()
    assert caller.read_until(HALF) == HALF
    script.now.set()
    assert caller.read_all() == b""
    assert not caller.ended_cleanly
    case.assert_logged(end="reset", status=200, upstream_status=200)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(sse_head() + chunk(FRAMES[0]) + b"40\r\ndata: half", id="inside of a chunk"),
        pytest.param(sse_head() + chunk(FRAMES[0]), id="between two chunks"),
        pytest.param(sse_head(length(1000)) + FRAMES[0], id="before the length"),
        pytest.param(sse_head(CLOSE) + FRAMES[0] + b"data: half", id="without a terminator"),
    ],
)
def test_d8_a_stream_that_ends_early_is_not_taken_for_whole(case: Case, said: bytes) -> None:
    case.upstream.answer(ending(said))
    answer = case.answer(stream=True)
    assert answer.frames[:-1] == FRAMES[:1]
    assert answer.told["code"] == "upstream_incomplete"
    assert b"half" not in answer.body
    assert not answer.whole
    case.assert_logged(end="upstream_eof" if CLOSE.encode() in said else "truncated", status=200, frames_out=1)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(JSON_HEAD + HALF, id="before the length"),
        pytest.param(CHUNKED_JSON_HEAD + b"%x\r\n%b" % (len(BODY), HALF), id="inside of a chunk"),
        pytest.param(CHUNKED_JSON_HEAD + chunk(HALF), id="between two chunks"),
    ],
)
def test_d8_a_json_answer_that_ends_early_is_not_taken_for_whole(case: Case, said: bytes) -> None:
    case.upstream.answer(ending(said))
    answer = case.answer(stream=False)
    assert (answer.status, answer.body, answer.whole) == (200, HALF, False)
    case.assert_logged(end="truncated", status=200)


def test_d9_a_stalled_stream_is_kept_alive_until_the_idle_deadline(case: Case) -> None:
    case.upstream.answer(stalling(sse_head() + chunk(FRAMES[0]) + chunk(b"data: ha")))
    answer = case.answer(stream=True)
    assert IDLE_SECONDS - EARLY_SECONDS_MAX < answer.seconds < IDLE_SECONDS + LATE_SECONDS_MAX
    assert answer.frames[:-1] == FRAMES[:1]
    assert answer.told["code"] == "upstream_idle_timeout"
    assert not answer.whole
    assert answer.pings >= 3
    case.upstream.wait_for_peer_close(timeout_seconds=1)
    case.assert_logged(end="stall", status=200, frames_out=1)


def test_d9_a_stalled_json_answer_is_cut_at_the_idle_deadline(plain: Case) -> None:
    plain.upstream.answer(stalling(JSON_HEAD + HALF))
    answer = plain.answer(stream=False)
    assert IDLE_SECONDS - EARLY_SECONDS_MAX < answer.seconds < IDLE_SECONDS + LATE_SECONDS_MAX
    assert (answer.body, answer.whole) == (HALF, False)
    plain.assert_logged(end="stall", status=200)


@pytest.mark.parametrize("seconds", [2, pytest.param(600, marks=pytest.mark.soak)])
def test_d10_a_trickle_keeps_a_stream_open_and_costs_nothing(case: Case, seconds: int) -> None:
    """Longer than the idle deadline: a byte is a sign of life."""
    frame = b"data: " + b"x" * (seconds * 5 - 7) + b"\n\n"

    def trickle(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head())
        for byte in frame:
            conn.send(chunk(bytes([byte])))
            conn.stall(0.2)
        conn.send(b"".join(map(chunk, chat_stream("end"))) + b"0\r\n\r\n")

    case.upstream.answer(trickle)
    begun = cpu_seconds(case.relay.worker_pids())
    answer = case.answer_to(case.ask(stream=True), timeout_seconds=seconds + 30)
    assert answer.seconds > seconds > IDLE_SECONDS
    assert answer.frames == [frame, *chat_stream("end")]
    assert answer.whole
    case.assert_logged(end="done", status=200)
    assert cpu_seconds(case.relay.worker_pids()) - begun < 0.05 * answer.seconds


def test_d14_a_connection_is_used_again(case: Case) -> None:
    """What makes the next four tests mean something."""
    answers = [case.answer(stream=stream) for stream in (True, False, True)]
    assert [(answer.status, answer.whole) for answer in answers] == [(200, True)] * 3
    assert case.upstream.accepted == 1


def closing_when_idle(conn: Connection) -> None:
    conn.read_request()
    conn.send(json_answer(chat_completion("Hello world")))
    say_no_more(conn)
    conn.wait_closed(10)


def resetting_when_idle(conn: Connection) -> None:
    conn.read_request()
    conn.send(json_answer(chat_completion("Hello world")))
    conn.reset()


def talking_when_idle(conn: Connection) -> None:
    """Some servers say 408 before they close an idle connection: it must not be taken for the next answer."""
    conn.read_request()
    conn.send(json_answer(chat_completion("Hello world")))
    time.sleep(0.1)
    conn.send(json_answer({}, status="408 Request Timeout"))
    conn.wait_closed(10)


@pytest.mark.parametrize("idle", [closing_when_idle, resetting_when_idle, talking_when_idle])
def test_d14_a_connection_that_died_while_idle_is_replaced_unseen(case: Case, idle: Script) -> None:
    case.upstream.answer(in_turn(idle, polite))
    assert case.answer(stream=False).body == BODY
    time.sleep(0.3)
    answer = case.answer(stream=True)
    assert (answer.status, answer.whole) == (200, True)
    assert (case.upstream.accepted, len(case.upstream.requests)) == (2, 2)


@pytest.mark.parametrize("leave", [Connection.close, Connection.reset])
def test_d14_a_request_that_an_upstream_had_read_before_it_left_is_not_sent_again(
    case: Case, leave: Callable[[Connection], None]
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(json_answer(chat_completion("Hello world")))
        conn.read_request()
        leave(conn)

    case.upstream.answer(script)
    assert case.answer(stream=False).status == 200
    answer = case.answer(stream=True)
    assert_refused(answer, "upstream_bad_response")
    assert (case.upstream.accepted, len(case.upstream.requests)) == (1, 2)
