"""A stream that is kept, before a silent upstream: the response opens early, names it, beats, and is resumed."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, Script, chat_completion, error_answer, json_answer, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, PING, chunk
from tests.live.cases import CHAT, STREAM, Owed, error_code, last_frame, nothing_left
from tests.live.conftest import SHORT_LIMITS
from tests.live.resuming import BEAT, KEEP, Kept, by_header, calls, kept_by, texts

OPEN_SECONDS, SILENT_SECONDS = 0.3, 1.0
SAID = texts(3)
STREAM_OF = sse_head() + b"".join(map(chunk, SAID)) + LAST_CHUNK


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    times = {"RELAY_STREAM__EARLY_OPEN_SECONDS": str(OPEN_SECONDS), "RELAY_STREAM__HEARTBEAT_SECONDS": "0.3"}
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), {**SHORT_LIMITS, **times})
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        yield owed


def late(raw: bytes) -> Script:
    def answer(conn: Connection) -> None:
        conn.read_request()
        conn.stall(SILENT_SECONDS)
        conn.send(raw)

    return answer


def opened(caller: RawCaller, *headers: tuple[str, str]) -> Kept:
    """The head came while the upstream was silent, and names the stream."""
    asked = time.monotonic()
    caller.post(CHAT, STREAM, headers or [KEEP])
    head = caller.read_answer_head()
    assert OPEN_SECONDS - 0.05 <= time.monotonic() - asked < SILENT_SECONDS
    assert head.header("content-type") == "text/event-stream; charset=utf-8"
    assert head.header("x-request-id")
    return kept_by(head)


def without_beats(body: bytes) -> bytes:
    return body.replace(PING, b"").replace(BEAT, b"")


def test_it_opens_beats_and_goes_on_as_any_other(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(late(STREAM_OF))
    kept = opened(caller)
    body = caller.read_all()
    assert without_beats(body) == kept.frames(SAID)
    assert body.startswith(PING)
    assert caller.ended_cleanly


def test_who_leaves_in_the_silence_comes_back_to_the_same_stream(
    caller: RawCaller, new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream
) -> None:
    upstream.answer(late(STREAM_OF))
    kept = opened(caller)
    caller.close()
    other = new_caller()
    assert by_header(other, kept, 0).status == 200
    assert other.read_all() == kept.frames(SAID)
    assert calls(upstream) == 1


def test_a_second_one_under_the_same_name_waits_and_beats_too(
    caller: RawCaller, new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream
) -> None:
    upstream.answer(late(STREAM_OF))
    other, name = new_caller(), ("Idempotency-Key", "silent")
    caller.post(CHAT, STREAM, [name])
    assert opened(other, name).id == kept_by(caller.read_answer_head()).id
    for one in (caller, other):
        body = one.read_all()
        assert body.startswith(PING)
        assert without_beats(body).endswith(DONE)
    assert calls(upstream) == 1


def test_json_comes_as_one_frame(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(late(json_answer(chat_completion("Hello"))))
    opened(caller)
    body = without_beats(caller.read_all())
    assert json.loads(body.removeprefix(b"data: ").removesuffix(DONE)) == chat_completion("Hello")
    assert caller.ended_cleanly


def test_json_that_comes_slowly_beats_meanwhile(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    whole = json_answer(chat_completion("Hello"))

    def slowly(conn: Connection) -> None:
        late(whole[:-10])(conn)
        conn.stall(1.6)
        conn.send(whole[-10:])

    upstream.answer(slowly)
    opened(caller)
    body = caller.read_all()
    assert body.count(PING) >= 3, "one before the head"
    assert json.loads(without_beats(body).removeprefix(b"data: ").removesuffix(DONE)) == chat_completion("Hello")


@pytest.mark.soak
def test_who_leaves_while_json_comes_slowly_is_noticed(
    caller: RawCaller, relay: RelayProcess, upstream: ScriptedUpstream
) -> None:
    def never(conn: Connection) -> None:
        late(json_answer(chat_completion("Hello"))[:-10])(conn)
        conn.wait_closed(20)

    upstream.answer(never)
    opened(caller, KEEP)
    time.sleep(SILENT_SECONDS)
    caller.close()
    deadline = time.monotonic() + 2
    while relay.sockets_from_callers():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    upstream.hang_up()


@pytest.mark.parametrize(
    ("raw", "code", "status"),
    [
        (error_answer("429 Too Many Requests", "theirs"), "theirs", 429),
        pytest.param(b"garbage\r\n\r\n", "upstream_bad_response", 502, marks=pytest.mark.soak),
    ],
    ids=["429", "garbage"],
)
def test_a_refusal_is_told_in_the_stream(
    caller: RawCaller, upstream: ScriptedUpstream, raw: bytes, code: str, status: int
) -> None:
    upstream.answer(late(raw))
    opened(caller)
    frame = last_frame(caller.read_all())
    assert error_code(frame) == code
    assert json.loads(frame.removeprefix(b"data: "))["error"]["status"] == status
    assert not caller.ended_cleanly


def test_what_is_not_kept_has_no_name_when_it_opens(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(late(STREAM_OF))
    caller.post(CHAT, STREAM)
    assert caller.read_answer_head().header("relay-stream-id") is None
    assert without_beats(caller.read_all()) == b"".join(SAID)
