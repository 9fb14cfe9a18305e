"""The bench itself: load and mock agree, a relay that harms an answer is caught, and a whole run works."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.load_side import LoadSide, Order, Outcome, build
from bench.peers import Running
from bench.programs import ROOT, BenchError
from bench.stage import Cores, Stage

pytestmark = pytest.mark.alone

FRAMES = 4
CORE = min(os.sched_getaffinity(0))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ONE = Order(streams=1, requests=1, frames=FRAMES, filler_bytes=3, seconds_max=5)


@pytest.fixture(scope="module")
def load_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadSide]:
    folder = tmp_path_factory.mktemp("bench")
    side = LoadSide(build(folder), folder, CORE)
    yield side
    side.stop()


@pytest.fixture
def call_stub(load_side: LoadSide) -> Callable[[bytes], Outcome]:
    """What load makes of a relay that gives just this answer and hangs up."""

    def call(answer: bytes) -> Outcome:
        with stub(answer) as port:
            return load_side.call(Running(port, ()), ONE)

    return call


@contextlib.contextmanager
def stub(answer: bytes) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=_answer_once, args=(listener, answer))
        thread.start()
        yield port
        thread.join(10)


def _answer_once(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    listener.close()  # whoever comes next is refused at once
    with connection:
        connection.recv(65536)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(10)
        with contextlib.suppress(OSError):
            connection.recv(1)


def frame(number: int, filler: str = "xxx", end: str = "\n\n") -> bytes:
    return f'data: {{"choices":[{{"delta":{{"content":"#{number}:1:{filler}#"}}}}]}}{end}'.encode()


DONE = b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunked(*parts: bytes) -> bytes:
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def whole(*numbers: int) -> bytes:
    return chunked(*map(frame, numbers), DONE) + LAST_CHUNK


RIGHT = [
    ("a chunk for each frame", whole(0, 1, 2, 3)),
    ("all frames in one chunk", chunked(b"".join(map(frame, range(4))) + DONE) + LAST_CHUNK),
    ("a chunk for each byte", chunked(*(bytes([byte]) for byte in b"".join(map(frame, range(4))) + DONE)) + LAST_CHUNK),
    ("CRLF and comments", chunked(b": hi\r\n\r\n", *(frame(n, end="\r\n\r\n") for n in range(4)), DONE) + LAST_CHUNK),
    ("up to the close", b"HTTP/1.0 200 OK\r\n\r\n" + b"".join(map(frame, range(4))) + DONE),
]

WRONG = [
    ("a frame lost", "order", whole(0, 2, 3)),
    ("a frame lost and another in its place", "order", whole(0, 1, 1, 3)),
    ("a frame doubled", "order", whole(0, 1, 1, 2, 3)),
    ("two frames swapped", "order", whole(0, 2, 1, 3)),
    ("the last frame lost", "incomplete", whole(0, 1, 2)),
    ("no [DONE]", "incomplete", chunked(*map(frame, range(4))) + LAST_CHUNK),
    ("one frame too many", "surplus", whole(0, 1, 2, 3, 4)),
    ("a frame after [DONE]", "surplus", chunked(*map(frame, range(3)), DONE, frame(3)) + LAST_CHUNK),
    ("bytes after the answer", "surplus", whole(0, 1, 2, 3) + b"HTTP/1.1 200 OK\r\n"),
    ("content that lost a byte", "damaged", chunked(frame(0), frame(1, "xx"), frame(2), frame(3), DONE) + LAST_CHUNK),
    ("content that was changed", "damaged", chunked(frame(0), frame(1, "xyx"), frame(2), frame(3), DONE) + LAST_CHUNK),
    ("two frames in one event", "framing", chunked(frame(0, end="\n"), *map(frame, (1, 2, 3)), DONE) + LAST_CHUNK),
    ("a last event without its end", "framing", chunked(*map(frame, range(4)), DONE[:-1]) + LAST_CHUNK),
    ("something that is no field", "framing", chunked(b"oops\n\n", *map(frame, range(4)), DONE) + LAST_CHUNK),
    ("no last chunk", "cut", chunked(*map(frame, range(4)), DONE)),
    ("an end within a frame", "cut", whole(0, 1, 2, 3)[:200]),
    ("a refusal", "refused", b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}"),
    ("no HTTP at all", "malformed", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("a chunk of no size", "malformed", HEAD + b"zz\r\n"),
    ("a chunk longer than its size", "malformed", HEAD + b"5\r\n" + frame(0) + b"\r\n"),
]


@pytest.mark.parametrize(("_name", "answer"), RIGHT, ids=[name for name, _ in RIGHT])
def test_an_answer_that_is_right_is_good(call_stub: Callable[[bytes], Outcome], _name: str, answer: bytes) -> None:
    outcome = call_stub(answer)
    assert (outcome.good, outcome.faults) == (1, {})


@pytest.mark.parametrize(("_name", "fault", "answer"), WRONG, ids=[name for name, _, _ in WRONG])
def test_an_answer_that_was_harmed_is_caught(
    call_stub: Callable[[bytes], Outcome], _name: str, fault: str, answer: bytes
) -> None:
    outcome = call_stub(answer)
    assert (outcome.good, outcome.faults) == (0, {fault: 1})


def test_a_stream_that_never_goes_on_is_unfinished(load_side: LoadSide) -> None:
    order = Order(streams=1, requests=1, frames=FRAMES, interval_us=20_000_000, seconds_max=1)
    outcome = load_side.call(Running(load_side.upstream_port, ()), order)
    assert (outcome.good, outcome.unfinished, outcome.faults) == (0, 1, {})


@pytest.mark.parametrize(
    "order",
    [
        Order(streams=20, requests=100, frames=50),
        Order(streams=20, requests=20, frames=20, interval_us=5000, ramp_ms=50),
        Order(streams=4, requests=40, frames=1, is_stream=False),
        Order(streams=2, requests=4, frames=3000, filler_bytes=2000),
    ],
    ids=["burst", "paced", "JSON", "more than a socket takes"],
)
def test_mock_answers_what_load_orders(load_side: LoadSide, order: Order) -> None:
    outcome = load_side.call(Running(load_side.upstream_port, ()), order)
    assert (outcome.good, outcome.faults) == (order.requests, {})
    assert outcome.frames == order.requests * order.frames
    assert 0 < outcome.frame.p50 <= outcome.frame.p99 <= outcome.frame.max


def test_paced_frames_keep_their_pace(load_side: LoadSide) -> None:
    order = Order(streams=2, requests=2, frames=21, interval_us=20_000)
    outcome = load_side.call(Running(load_side.upstream_port, ()), order)
    assert outcome.seconds >= 19 * 0.02


def test_a_peer_that_harms_answers_is_not_measured(load_side: LoadSide, tmp_path: Path) -> None:
    with stub(whole(0, 2)) as port:
        stage = Stage({"harmful": lambda site: Running(port, ())}, tmp_path, Cores(CORE, CORE), load_side)
        with pytest.raises(BenchError, match="harmful does not relay"):
            stage.open(["harmful"])


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("run")
    options = ["--quick", "--rounds", "1", "--peers", "direct,nginx,relay", "--scenarios", "S1,S4"]
    command = [sys.executable, "-m", "bench.run", *options, "--folder", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False), folder


def test_a_whole_run_ends_well(quick_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = quick_run
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ratios to nginx" in done.stdout
    assert "wrong" not in done.stdout
    assert (folder / "bench.svg").read_text().startswith("<svg")


def test_a_whole_run_measures_every_peer(quick_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    samples: list[dict[str, Any]] = json.loads((quick_run[1] / "bench.json").read_text())
    figures = {(one["scenario"], one["peer"]): one["figures"] for one in samples}
    assert figures["S1", "relay"]["cpu_per_frame_us"] > 0
    assert figures["S4", "relay"]["memory_per_stream_kib"] > 0
    assert figures["S1", "direct"]["latency_p50_us"] > 0
