"""C4, C7 to C9, C11: how an event stream ends when it does not end well, and what may follow its end."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import CHUNKED, CLOSE, DONE, Script, chat_stream, length, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import PING, chunk
from tests.live.cases import FRAMINGS, ONE, Owed, error_code, held, last_frame, nothing_left, saying, stream
from tests.live.misbehaviour import resident_bytes

FRAME_BYTES_MAX = 1_048_576


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def test_a_stream_of_comments_alone_is_passed_and_told_as_incomplete(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed
) -> None:
    upstream.answer(saying([b": one\n\n", b": two\n\n"]))
    body, whole = stream(caller)
    assert body.startswith(b": one\n\n: two\n\n")
    assert (error_code(last_frame(body)), whole) == ("upstream_incomplete", False)
    assert owed.line()["end"] == "upstream_eof"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_frame_above_the_cap_ends_the_stream(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, framing: str
) -> None:
    upstream.answer(saying([ONE, b"data: " + b"x" * (FRAME_BYTES_MAX - 5) + b"\n\n", DONE], framing))
    body, whole = stream(caller)
    assert body.startswith(ONE)
    assert (error_code(body.removeprefix(ONE)), whole) == ("frame_too_large", False)
    assert owed.line()["end"] == "oversize"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_frame_without_an_end_takes_bounded_memory(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, framing: str
) -> None:
    sent: list[int] = []
    before = resident_bytes(owed.relay.worker_pids())
    upstream.answer(bytes_for_ever(framing, sent))
    body, whole = stream(caller)
    assert body.startswith(ONE)
    assert (error_code(body.removeprefix(ONE)), whole) == ("frame_too_large", False)
    assert owed.line()["end"] == "oversize"
    upstream.wait_for_peer_close()
    assert sum(sent) < 16 * FRAME_BYTES_MAX
    assert resident_bytes(owed.relay.worker_pids()) - before < 16 * FRAME_BYTES_MAX


def bytes_for_ever(framing: str, sent: list[int]) -> Script:
    """A frame, and then another one that does not end; `sent` gets the sizes of what was taken of it."""
    header = {"chunked": CHUNKED, "length": length(1 << 40), "close": CLOSE}[framing]
    piece = b"x" * 65_536

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head(header))
        for part in itertools.chain([ONE, b"data: "], itertools.repeat(piece, 1_024)):
            conn.send(chunk(part) if framing == "chunked" else part)
            sent.append(len(part))
        raise AssertionError("the relay went on reading")

    return script


def test_a_frame_that_stays_unfinished_is_never_delivered(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head() + chunk(ONE + b"data: unfinished\n"))
        held(conn)

    upstream.answer(script)
    body, whole = stream(caller)
    assert body.startswith(ONE + PING)
    assert b"unfinished" not in body
    assert (error_code(last_frame(body)), whole) == ("upstream_idle_timeout", False)
    assert owed.line()["end"] == "stall"
    upstream.wait_for_peer_close()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_unfinished_frame_at_the_end_is_discarded(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], owed: Owed, framing: str
) -> None:
    endings = [b"data: [DONE]\n", b"data: [DONE]", b"data: x\n", b"data", b"\r"]
    owed.requests = len(endings)
    for pending in endings:
        upstream.answer(saying([ONE, pending], framing))
        body, whole = stream(new_caller())
        assert body.startswith(ONE)
        assert (error_code(body.removeprefix(ONE)), whole) == ("upstream_incomplete", False), pending


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"])
def test_a_missing_terminator_is_told_and_not_made_up(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], owed: Owed, path: str
) -> None:
    owed.requests = len(FRAMINGS)
    for number, framing in enumerate(FRAMINGS):
        upstream.answer(saying([ONE, ONE], framing))
        body, whole = stream(new_caller(), path)
        assert body.startswith(ONE + ONE)
        assert (error_code(body.removeprefix(ONE + ONE)), whole) == ("upstream_incomplete", False), framing
        assert not any(word in body for word in (b"[DONE]", b"message_stop", b"response.completed"))
        assert owed.line(number)["end"] == "upstream_eof"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_finished_answer_without_done_gets_one(upstream: ScriptedUpstream, caller: RawCaller, framing: str) -> None:
    frames = chat_stream("one")[:-1]
    upstream.answer(saying(frames, framing))
    assert stream(caller) == (b"".join(frames) + DONE, True)


@pytest.mark.parametrize("pause_seconds", [0.0, 0.05], ids=["at once", "later"])
def test_what_comes_after_the_terminator_is_dropped_and_its_connection_too(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], owed: Owed, pause_seconds: float
) -> None:
    surplus = [DONE, ONE, b": c\n\n", b"junk"]
    owed.requests = len(surplus)
    for more in surplus:
        upstream.answer(saying([ONE + DONE, more], pause_seconds=pause_seconds))
        assert stream(new_caller()) == (ONE + DONE, True), more
    until(lambda: upstream.open == 0, what="the end of all connections")
    assert upstream.accepted == len(surplus)
