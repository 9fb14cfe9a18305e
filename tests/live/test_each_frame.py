"""C15: each frame arrives as it is made. The upstream says the next one only after the caller acknowledged the last,
out of band, so whatever holds a frame back stops the stream for good."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.certificates import Certificates
from tests.live.bench.conversation import Connection
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import CHUNKED, CLOSE, DONE, Script, chat_frame, length, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import ASK, CHAT, STREAM, Owed, nothing_left
from tests.live.pairs import running_pair

FRAMES = 1_000
ACKNOWLEDGED_SECONDS_MAX = 5.0
FRAMING_HEADERS = {
    "chunked": CHUNKED,
    "length": length(sum(len(chat_frame(str(n))) for n in range(FRAMES)) + len(DONE)),
    "close": CLOSE,
}


@pytest.fixture(autouse=True)
def owed(request: pytest.FixtureRequest, relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = int("tls" not in request.node.name)
        yield owed


@pytest.fixture
def acknowledged() -> threading.Semaphore:
    """Released once for each frame that the caller has read."""
    return threading.Semaphore(0)


@pytest.fixture
def behind_nginx(relay: RelayProcess, key: str, start_nginx: Callable[[str], Nginx]) -> Iterator[RawCaller]:
    with RawCaller(start_nginx(stock_location(relay.port)).port, key=key) as caller:
        yield caller


def in_step(acknowledged: threading.Semaphore, framing: str = "chunked", cut: int | None = None) -> Script:
    """FRAMES frames, each sent when the one before was acknowledged; `cut`: each in two sends, parted there."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head(FRAMING_HEADERS[framing]))
        for number in range(FRAMES):
            frame = chat_frame(str(number))
            for piece in (frame,) if cut is None else (frame[:cut], frame[cut:]):
                conn.send(chunk(piece) if framing == "chunked" else piece)
            assert acknowledged.acquire(timeout=ACKNOWLEDGED_SECONDS_MAX), f"frame {number} was held back"
        conn.send(chunk(DONE) + LAST_CHUNK if framing == "chunked" else DONE)
        conn.close() if framing == "close" else None

    return script


def follow(caller: RawCaller, acknowledged: threading.Semaphore) -> None:
    """Read each frame, acknowledge it, and see that all came, in order."""
    frames = caller.frames()
    for number in range(FRAMES):
        assert next(frames) == chat_frame(str(number))
        acknowledged.release()
    assert list(frames) == [DONE]
    assert caller.ended_cleanly


@pytest.mark.parametrize("framing", FRAMING_HEADERS)
def test_a_thousand_frames_arrive_one_by_one(
    upstream: ScriptedUpstream, caller: RawCaller, acknowledged: threading.Semaphore, framing: str
) -> None:
    upstream.answer(in_step(acknowledged, framing))
    caller.post(CHAT, STREAM)
    assert caller.read_head()[0] == 200
    follow(caller, acknowledged)


@pytest.mark.parametrize("cut", [1, -1], ids=["after its first byte", "between its two line ends"])
def test_a_frame_in_two_pieces_arrives_when_it_is_whole(
    upstream: ScriptedUpstream, caller: RawCaller, acknowledged: threading.Semaphore, cut: int
) -> None:
    upstream.answer(in_step(acknowledged, cut=cut))
    caller.post(CHAT, STREAM)
    assert caller.read_head()[0] == 200
    follow(caller, acknowledged)


def test_a_thousand_frames_arrive_one_by_one_behind_a_stock_nginx(
    upstream: ScriptedUpstream, behind_nginx: RawCaller, acknowledged: threading.Semaphore
) -> None:
    upstream.answer(in_step(acknowledged))
    behind_nginx.post(CHAT, STREAM)
    assert behind_nginx.read_head()[0] == 200
    follow(behind_nginx, acknowledged)


def test_the_seed_route_streams_one_by_one_behind_a_stock_nginx(
    upstream: ScriptedUpstream, behind_nginx: RawCaller, acknowledged: threading.Semaphore
) -> None:
    upstream.answer(in_step(acknowledged))
    behind_nginx.post("/api/chat/stream", ASK)
    assert behind_nginx.read_head()[0] == 200
    follow(behind_nginx, acknowledged)


def test_a_thousand_frames_arrive_one_by_one_from_a_tls_upstream(
    certificates: Certificates, acknowledged: threading.Semaphore, tmp_path: Path
) -> None:
    with running_pair(tmp_path, certificates) as pair, RawCaller(pair.relay.port, key=pair.key) as caller:
        pair.upstream.answer(in_step(acknowledged))
        caller.post(CHAT, STREAM)
        assert caller.read_head()[0] == 200
        follow(caller, acknowledged)
        pair.upstream.check()


def test_the_head_arrives_before_the_first_frame_and_forbids_buffering(
    upstream: ScriptedUpstream, caller: RawCaller
) -> None:
    go_on = threading.Event()

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head())
        assert go_on.wait(ACKNOWLEDGED_SECONDS_MAX)
        conn.send(chunk(DONE) + LAST_CHUNK)

    upstream.answer(script)
    caller.post(CHAT, STREAM)
    head = caller.read_answer_head()
    go_on.set()
    assert caller.read_all() == DONE
    assert head.all_of("content-type") == ["text/event-stream; charset=utf-8"]
    assert head.all_of("cache-control") == ["no-cache, no-transform"]
    assert head.all_of("x-accel-buffering") == ["no"]
    assert head.all_of("x-content-type-options") == ["nosniff"]
    assert head.header("content-length") is None
    assert head.header("content-encoding") is None


def test_nginx_passes_the_head_on_before_the_first_frame(upstream: ScriptedUpstream, behind_nginx: RawCaller) -> None:
    go_on = threading.Event()

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head())
        assert go_on.wait(ACKNOWLEDGED_SECONDS_MAX)
        conn.send(chunk(DONE) + LAST_CHUNK)

    upstream.answer(script)
    behind_nginx.post(CHAT, STREAM)
    assert behind_nginx.read_head(ACKNOWLEDGED_SECONDS_MAX - 1)[0] == 200
    go_on.set()
    assert behind_nginx.read_all() == DONE
