"""Readers that take nothing, keys that are revoked, what is told of it all: none of it hurts another reader."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, chat_frame, every_request, sse_head, usage_frame
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import CHAT, Owed, error_code, in_silence, last_frame, nothing_left
from tests.live.conftest import SHORT_LIMITS
from tests.live.resuming import BEAT, Kept, begin, by_number, line_of, telling

SLOW_SECONDS_MAX = 1.5
STREAM_BYTES_MAX = 1_000_000
LINE = "x" * 4000
SAID = [*(chat_frame(f"{number:05} {LINE}") for number in range(4000)), chat_frame("", "stop"), DONE]
EVENTS = "/v1/streams/<stream_id>/events"


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    bounds = {
        "RELAY_STREAM__SLOW_READER_SECONDS_MAX": str(SLOW_SECONDS_MAX),
        "RELAY_STREAM__IDLE_SECONDS_MAX": "60",
        "RELAY_STREAM__PENDING_BYTES_MAX": "65536",
        "RELAY_RESUME__STREAM_BYTES_MAX": str(STREAM_BYTES_MAX),
        "RELAY_RESUME__DETACH_SECONDS": "1",
        "RELAY_MODELS__PRICES": '{"gpt-test" = {input = 1.0, output = 2.0}}',
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), {**SHORT_LIMITS, **bounds})
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        yield owed


class Counting:
    """Says all of it as fast as it is read. `sent`: how many frames so far."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, conn: Connection) -> None:
        every_request(self._say)(conn)

    def _say(self, conn: Connection, _: object) -> None:
        conn.send(sse_head())
        for frame in SAID:
            conn.send(chunk(frame))
            self.sent += 1
        conn.send(LAST_CHUNK)


def test_a_reader_that_takes_nothing_holds_the_upstream_back_and_is_dropped_alone(
    relay: RelayProcess, key: str, upstream: ScriptedUpstream, owed: Owed
) -> None:
    upstream.answer(counting := Counting())
    with (
        RawCaller(relay.port, key=key) as caller,
        RawCaller(relay.port, key=key, receive_buffer_bytes=4096) as slow,
    ):
        kept = begin(caller)
        assert by_number(slow, kept, 0).status == 200
        body: list[bytes] = []
        reading = threading.Thread(target=lambda: body.append(caller.read_all(30)))
        reading.start()
        time.sleep(SLOW_SECONDS_MAX / 2)
        assert counting.sent * len(SAID[0]) < STREAM_BYTES_MAX + 12_000_000, "and what the kernel keeps"
        assert counting.sent < len(SAID)
        line = line_of(owed, end="client_slow", route=EVENTS)
        assert float(str(line["duration_ms"])) >= SLOW_SECONDS_MAX * 1000
        reading.join(30)
        assert [got.replace(BEAT, b"") for got in body] == [kept.frames(SAID)]
        assert caller.ended_cleanly
        assert slow.wait_closed()
    assert line_of(owed, end="done", route=CHAT)["status"] == 200


def status(caller: RawCaller, kept: Kept) -> int:
    status = by_number(caller, kept, 0).status
    caller.read_all()
    return status


def revoke(relay: RelayProcess, name: str) -> None:
    relay.command_line("keys", "revoke", name)


def test_a_revoked_key_ends_its_stream_and_its_log_says_so(
    relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed
) -> None:
    upstream.answer(in_silence)
    key = relay.create_key("revoked", rpm=1000, concurrent=10)
    with RawCaller(relay.port, key=key) as caller, RawCaller(relay.port) as source:
        kept = begin(caller)
        source.get(kept.url, [], "")
        assert source.read_answer_head().status == 200
        began = time.monotonic()
        revoke(relay, "revoked")
        body = source.read_all(20)
        assert time.monotonic() - began < 5 + 3
        assert (error_code(last_frame(body)), source.ended_cleanly) == ("key_revoked", True)
        assert caller.read_all() == body
        assert line_of(owed, end="revoked", route=CHAT)["status"] == 200
        with RawCaller(relay.port, key=key) as other:
            until(lambda: status(other, kept) == 401, 8, "the revocation")


def test_a_detached_stream_of_a_revoked_key_ends_too(
    relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed
) -> None:
    upstream.answer(in_silence)
    key = relay.create_key("revoked-detached", rpm=1000, concurrent=10, detach="finish")
    with RawCaller(relay.port, key=key) as caller:
        begin(caller)
    revoke(relay, "revoked-detached")
    upstream.wait_for_peer_close(timeout_seconds=8)
    line_of(owed, end="revoked", route=CHAT)


def test_the_line_of_the_post_tells_usage_and_cost_and_those_of_readers_none(
    relay: RelayProcess, key: str, upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], owed: Owed
) -> None:
    said = [chat_frame("a"), chat_frame("", "stop"), usage_frame(1000, 500), DONE]
    upstream.answer(telling(said))
    caller, other = new_caller(), new_caller()
    kept = begin(caller)
    shown = [frame for frame in said if frame != usage_frame(1000, 500)]
    assert caller.read_all() == kept.frames(shown)
    for _ in range(2):
        assert by_number(other, kept, 1).status == 200
        other.read_all()
    until(lambda: len(relay.log_lines()) == owed.lines_before + 3, 5)
    first, *others = relay.log_lines()[owed.lines_before :]
    assert (first["usage"], first["cost_usd"]) == ({"input_tokens": 1000, "output_tokens": 500}, 0.002)
    assert (first["frames_out"], first["end"], first["upstream_status"]) == (3, "done", 200)
    for line in others:
        assert (line["usage"], line["cost_usd"], line["upstream"], line["end"]) == (None, None, None, "done")
        assert (line["route"], line["frames_out"], line["status"]) == (EVENTS, 2, 200)
        assert line["key_id"] == first["key_id"]
    query = "SELECT route, output_tokens FROM usage WHERE key_id = ? ORDER BY rowid DESC LIMIT 3"
    with contextlib.closing(sqlite3.connect(relay.database_path)) as database:
        rows = lambda: database.execute(query, [first["key_id"]]).fetchall()  # noqa: E731
        until(lambda: sorted(rows()) == [(CHAT, 500), (EVENTS, None), (EVENTS, None)], 5, "the ledger's rows")


def in_flight(relay: RelayProcess) -> float:
    with RawCaller(relay.port) as caller:
        caller.get("/metrics")
        caller.read_head()
        [line] = [line for line in caller.read_all().decode().splitlines() if line.startswith("relay_in_flight ")]
        return float(line.split()[1])


def test_after_many_streams_and_readers_nothing_is_in_flight(
    relay: RelayProcess, upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller]
) -> None:
    upstream.answer(in_silence)
    kept: list[Kept] = []
    for _ in range(10):
        caller = new_caller()
        kept.append(begin(caller))
        caller.close()
    readers = [new_caller() for _ in range(30)]
    for number, reader in enumerate(readers):
        assert by_number(reader, kept[number % 10], 0).status == 200
    assert in_flight(relay) >= 30
    for reader in readers:
        reader.reset()
    until(lambda: in_flight(relay) <= 1, 5, "a gauge of the asking caller alone")
    upstream.wait_for_peer_close(10, timeout_seconds=10)
