"""SIGTERM while streams are made without a reader: they may finish in time, or end with a word; nothing hangs."""

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.crowd import entered
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import Script, every_request, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import CHAT, ONE, STREAM, error_code, held, in_silence, last_frame, refusal
from tests.live.resuming import KEEP, begin, by_ticket, texts, wait_for_calls

DRAIN_SECONDS = 1.8
SAID = texts(3)
StartRelay = Callable[..., RelayProcess]


@pytest.fixture
def relay(upstream: ScriptedUpstream, start_relay: StartRelay) -> RelayProcess:
    return start_relay(
        upstream.base_url,
        RELAY_SERVER__DRAIN_SECONDS=str(DRAIN_SECONDS),
        RELAY_STREAM__IDLE_SECONDS_MAX="60",
        RELAY_STREAM__FIRST_BYTE_SECONDS_MAX="60",
    )


@pytest.fixture
def caller(relay: RelayProcess) -> Iterator[RawCaller]:
    with RawCaller(relay.port, key=relay.create_key("drained", rpm=1000, concurrent=20)) as caller:
        yield caller


def ending_when(told: threading.Event) -> Script:
    def answer(conn: Connection, _: object) -> None:
        conn.send(sse_head() + chunk(SAID[0]))
        while not told.is_set():
            conn.stall(0.01)
        conn.send(b"".join(map(chunk, SAID[1:])) + LAST_CHUNK)

    return every_request(answer)


def detached(caller: RawCaller, first: bytes) -> None:
    """Begin a stream that nobody reads any more."""
    begin(caller)
    caller.read_until(first)
    caller.close()
    time.sleep(0.1)


def test_what_is_made_without_a_reader_may_finish(
    relay: RelayProcess, caller: RawCaller, upstream: ScriptedUpstream
) -> None:
    told = threading.Event()
    upstream.answer(ending_when(told))
    detached(caller, SAID[0])
    began = time.monotonic()
    relay.program.signal(signal.SIGTERM)
    time.sleep(1.3)  # gunicorn looks once a second
    told.set()
    assert relay.program.wait(20) == 0
    assert 1.3 < time.monotonic() - began < DRAIN_SECONDS + 1
    assert relay.wait_for_log_line(end="done")["frames_out"] == len(SAID)
    assert entered(relay.database_path) == {"done": 1}
    assert upstream.peer_closes == []


@pytest.mark.parametrize("flows", [True, pytest.param(False, marks=pytest.mark.soak)], ids=["that flows", "that opens"])
def test_what_does_not_finish_is_ended_with_a_word(
    relay: RelayProcess, caller: RawCaller, upstream: ScriptedUpstream, flows: bool
) -> None:
    if flows:
        upstream.answer(in_silence)
        detached(caller, ONE)
    else:
        upstream.answer(lambda conn: (conn.read_request(), held(conn))[1])
        caller.post(CHAT, STREAM, [KEEP])
        wait_for_calls(upstream)
        caller.close()
    began = time.monotonic()
    relay.program.signal(signal.SIGTERM)
    assert relay.program.wait(20) == 0
    assert DRAIN_SECONDS <= time.monotonic() - began < DRAIN_SECONDS + 4
    upstream.wait_for_peer_close()
    end = "drained" if flows else "shed"
    assert entered(relay.database_path) == {end: 1}
    relay.wait_for_log_line(end=end)
    assert "graceful timeout" not in relay.stderr()
    assert "Traceback" not in relay.stderr()


def test_who_follows_is_told_in_the_log_and_who_waits_is_refused(
    relay: RelayProcess, caller: RawCaller, upstream: ScriptedUpstream
) -> None:
    upstream.answer(in_silence)
    kept = begin(caller)
    with RawCaller(relay.port) as source, RawCaller(relay.port, key=caller.key) as waiting:
        assert by_ticket(source, kept, 0).status == 200
        upstream.answer(lambda conn: (conn.read_request(), held(conn))[1])
        waiting.post(CHAT, STREAM, [KEEP])
        wait_for_calls(upstream, 2)
        relay.program.signal(signal.SIGTERM)
        body = source.read_all(20)
        assert (error_code(last_frame(body)), source.ended_cleanly) == ("relay_draining", True)
        assert f"id: {kept.event(2)}\n".encode() in body
        assert caller.read_all(20) == body
        assert not caller.ended_cleanly
        assert refusal(waiting, waiting.read_answer_head()) == (503, "draining")
    assert relay.program.wait(20) == 0
    assert entered(relay.database_path) == {"drained": 1, "shed": 1}


def test_what_ended_before_holds_nothing_up(relay: RelayProcess, caller: RawCaller, upstream: ScriptedUpstream) -> None:
    begin(caller)
    caller.read_all()
    began = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - began < DRAIN_SECONDS
