"""Log lines: JSON on standard output, written by a native thread behind a bounded queue.

A pipe that nobody reads would stop the whole process at its next write; here it only costs lines, which are counted.
"""

import logging
import os
import re
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import msgspec
from gunicorn.glogging import Logger

LINES_MAX = 10_000
# Written at once: together they cost one system call.
WRITTEN_LINES_MAX = 100
PLACES_MAX = 8
_ABOUT_REQUESTS = re.compile(r"Error handling request|Invalid request from ip=\S+(?=:)|Socket error processing request")
_QUERY = re.compile(r"\?[^\s'\"]*")


class Thread(Protocol):
    """A native thread that takes work."""

    def spawn(self, work: Callable[[], None]) -> None: ...

    def join(self, seconds_max: float) -> None: ...

    def pause(self) -> None:
        """Wait a moment; called in that thread."""


class Log:
    """Writes lines without ever waiting. `dropped`: lines lost because nobody read them."""

    def __init__(self, thread: Thread, descriptor: int = 1) -> None:
        self._thread, self._descriptor = thread, descriptor
        self._lines: deque[bytes] = deque()
        self._writing = self._torn = False
        self.dropped = 0

    def write(self, **fields: Any) -> None:
        """Queue one line."""
        if len(self._lines) >= LINES_MAX:
            self.dropped += 1
            return
        self._lines.append(msgspec.json.encode(fields) + b"\n")
        if not self._writing:
            self._writing = True
            self._thread.spawn(self._drain)

    def failure(self, where: str, error: BaseException) -> None:
        """Queue a line about a failure of our own: its type and place. Its text may hold what a caller sent."""
        self.write(level="error", time=time.time(), where=where, error=type(error).__name__, places=places_of(error))

    def flush(self, seconds_max: float) -> None:
        """Wait until all is written, but not for ever: somebody may have stopped reading."""
        self._thread.join(seconds_max)

    def _drain(self) -> None:
        """In the native thread. A line appended after the last look is written by the next call."""
        while True:
            lines = self._next_lines()
            if lines:
                self._write_whole(b"".join(lines))
                continue
            self._writing = False
            if not self._lines:
                return
            self._writing = True

    def _next_lines(self) -> list[bytes]:
        lines: list[bytes] = []
        with suppress(IndexError):
            while len(lines) < WRITTEN_LINES_MAX:
                lines.append(self._lines.popleft())
        return lines

    def _write_whole(self, text: bytes) -> None:
        """A descriptor that somebody made non-blocking is waited for. A line that a full disk tore gets an end before
        the next one, or it would take that with it.
        """
        left = b"\n" + text if self._torn else text
        while left:
            try:
                written = os.write(self._descriptor, left)
            except BlockingIOError:
                self._thread.pause()
            except OSError:
                self.dropped += left[-len(text) :].count(b"\n")
                return
            else:
                left = left[written:]
                self._torn = bool(left)


def places_of(error: BaseException) -> list[str]:
    """Where an error came from, innermost last, without the text of any line or value."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[-PLACES_MAX:]]


class ServerLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger without what callers sent: it prints request lines with their query, and malformed headers."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.addFilter(_without_requests)


def _without_requests(record: logging.LogRecord) -> bool:
    """Keep a message's fixed beginning, and of an exception its type and place; the rest may quote a request."""
    text = record.getMessage()
    about_request = _ABOUT_REQUESTS.match(text)
    if about_request:
        text = about_request[0]
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__} at {places_of(record.exc_info[1])}"
        record.exc_info = record.exc_text = None
    record.msg, record.args = _QUERY.sub("?…", text), ()
    return True
