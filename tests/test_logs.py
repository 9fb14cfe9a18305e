"""Log lines: written by a native thread, dropped and counted when nobody reads, and never a reason to wait."""

import fcntl
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay import logs
from relay.core.errors import RelayError
from relay.logs import PLACES_MAX, Log, places_of
from relay.loop import WriterThread

PIPE_BYTES = 4096


@dataclass
class Pipe:
    """A pipe that holds one page: a line longer than that stops its writer until somebody reads."""

    reading: int
    writing: int
    got: bytes = b""

    def read_lines(self, count: int, seconds_max: float = 3.0) -> list[dict[str, Any]]:
        """The first `count` lines, each of which must be JSON."""
        deadline = time.monotonic() + seconds_max
        while self.got.count(b"\n") < count:
            assert time.monotonic() < deadline, f"{self.got.count(10)} of {count} lines"
            try:
                self.got += os.read(self.reading, 65_536)
            except BlockingIOError:
                time.sleep(0.002)
        return [json.loads(line) for line in self.got.split(b"\n")[:-1]]


@dataclass
class Later:
    """A thread that runs nothing until it is told to."""

    work: list[Callable[[], None]] = field(default_factory=list)

    def spawn(self, work: Callable[[], None]) -> None:
        self.work.append(work)

    def join(self, seconds_max: float) -> None:
        while self.work:
            self.work.pop(0)()


class Arriving(deque[bytes]):
    """A queue whose reader, when it looks for the first time whether there is more, waits until there is."""

    def __init__(self) -> None:
        super().__init__()
        self.looking, self.arrived = threading.Event(), threading.Event()

    def __len__(self) -> int:
        if threading.current_thread() is not threading.main_thread() and not self.looking.is_set():
            self.looking.set()
            self.arrived.wait(2)
        return super().__len__()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(reading, False)
    yield Pipe(reading, writing)
    for descriptor in (reading, writing):
        os.close(descriptor)


@pytest.fixture
def log(pipe: Pipe) -> Iterator[Log]:
    log = Log(WriterThread(), pipe.writing)
    yield log
    while log._lines or log._writing:  # what a failed test left
        pipe.read_lines(pipe.got.count(b"\n") + 1)
        log.flush(0.1)


def test_a_line_is_one_json_object_in_utf_8(log: Log, pipe: Pipe) -> None:
    log.write(route="/größe", usage={"input_tokens": 2}, error=None, ttft_ms=0.5)
    log.write(text="line\nend")
    assert pipe.read_lines(2) == [
        {"route": "/größe", "usage": {"input_tokens": 2}, "error": None, "ttft_ms": 0.5},
        {"text": "line\nend"},
    ]


def test_lines_come_in_the_order_in_which_they_were_written(log: Log, pipe: Pipe) -> None:
    for number in range(500):
        log.write(number=number)
    assert [line["number"] for line in pipe.read_lines(500)] == list(range(500))
    assert log.dropped == 0


def test_a_line_that_is_taken_in_pieces_arrives_whole(log: Log, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    for number in range(3):
        log.write(number=number, padding="x" * 50)
    assert [line["number"] for line in pipe.read_lines(3)] == [0, 1, 2]


def test_nothing_is_written_by_the_caller_itself(pipe: Pipe) -> None:
    thread = Later()
    log = Log(thread, pipe.writing)
    log.write(number=1)
    log.write(number=2)
    assert len(thread.work) == 1
    with pytest.raises(BlockingIOError):
        os.read(pipe.reading, 1)
    log.flush(1.0)
    assert len(pipe.read_lines(2)) == 2


def test_a_full_pipe_costs_lines_and_no_time(log: Log, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LINES_MAX", 20)
    log.write(number=-1, padding="x" * 2 * PIPE_BYTES)
    _until(lambda: not log._lines)  # its writer is stuck with it
    begun = time.monotonic()
    for number in range(50):
        log.write(number=number)
    log.flush(0.05)
    assert time.monotonic() - begun < 1.0
    assert log.dropped == 30

    assert [line["number"] for line in pipe.read_lines(21)] == [-1, *range(20)]
    log.write(number="again")
    assert pipe.read_lines(22)[-1] == {"number": "again"}
    assert log.dropped == 30


def test_a_reader_that_is_gone_costs_lines_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = Log(WriterThread(), writing)
    for _ in range(3):
        log.write(number=1)
    log.flush(2.0)
    os.close(writing)
    assert log.dropped == 3


def test_two_writers_are_never_at_work_at_once(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their lines would mix. Lines arrive here at the one moment at which it can happen: when the writer has put down
    its work and looks once more whether there is any.
    """
    queue = Arriving()
    at_work, most = [], []

    def write_whole(line: bytes) -> None:
        at_work.append(line)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.remove(line)

    monkeypatch.setattr(log, "_write_whole", write_whole)
    monkeypatch.setattr(log, "_lines", queue)
    log.write(number=0)
    assert queue.looking.wait(2)
    log.write(number=1)
    log.write(number=2)
    queue.arrived.set()
    log.flush(2.0)
    assert most == [1, 1]


def test_a_failure_is_told_by_its_kind_and_place_and_never_by_its_text(log: Log, pipe: Pipe) -> None:
    try:
        _fail("canary-text")
    except ValueError as error:
        log.failure("stream", error)
    (line,) = pipe.read_lines(1)
    assert (line["level"], line["where"], line["error"]) == ("error", "stream", "ValueError")
    assert line["places"][-1].startswith("test_logs.py:")
    assert line["places"][-1].endswith(" _fail")
    assert abs(line["time"] - time.time()) < 60
    assert b"canary" not in pipe.got


def test_no_more_places_are_told_than_help() -> None:
    def deep(levels: int) -> None:
        if levels == 0:
            raise RelayError("internal_error", "canary")
        deep(levels - 1)

    with pytest.raises(RelayError) as caught:
        deep(50)
    assert len(places_of(caught.value)) == PLACES_MAX


def test_an_error_without_a_traceback_has_no_places(log: Log, pipe: Pipe) -> None:
    log.failure("probe", ValueError("canary"))
    assert pipe.read_lines(1)[0]["places"] == []


def test_waiting_for_the_last_lines_is_bounded(log: Log, pipe: Pipe) -> None:
    log.write(padding="x" * 2 * PIPE_BYTES)
    begun = time.monotonic()
    log.flush(0.05)
    assert time.monotonic() - begun < 1.0


def test_no_line_is_lost_while_one_thread_queues_and_the_other_writes(log: Log, pipe: Pipe) -> None:
    reader = threading.Thread(target=pipe.read_lines, args=(2000,))
    reader.start()
    for number in range(2000):
        log.write(number=number)
        if number % 10 == 0:
            time.sleep(0)
    log.flush(3.0)
    reader.join(3.0)
    assert [line["number"] for line in pipe.read_lines(2000)] == list(range(2000))


def _fail(text: str) -> None:
    raise ValueError(text)


def _until(true: Callable[[], bool], seconds_max: float = 2.0) -> None:
    deadline = time.monotonic() + seconds_max
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)
