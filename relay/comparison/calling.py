"""One streamed chat completion after another on one connection, each with its times."""

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

import msgspec

from relay.core.comparison.figures import Call
from relay.core.reading import error_code, read
from relay.core.sse import FrameParser, data_of, frames_in
from relay.core.usage import Usage, usage_in

FRAME_BYTES_MAX = 1_048_576
READ_BYTES = 65_536
BODY_BYTES_MAX = 65_536
DONE = b"[DONE]"


@dataclass(frozen=True)
class Way:
    """How a model is reached. `base`: the address below which /chat/completions is; `headers`: the credential."""

    name: str
    base: SplitResult
    headers: Mapping[str, str]
    tls: ssl.SSLContext


class _Delta(msgspec.Struct):
    content: object = None
    reasoning_content: object = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []


_chunk = msgspec.json.Decoder(_Chunk)


class Caller:
    """A context manager over one connection, made when it is first needed and again after a failure."""

    def __init__(self, way: Way) -> None:
        self._way = way
        host, port = way.base.hostname or "", way.base.port
        if way.base.scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, context=way.tls)
        else:
            self._connection = http.client.HTTPConnection(host, port)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, body: Mapping[str, Any], seconds_max: float) -> Call:
        """Take one answer, within `seconds_max`. The time to connect is not the model's and is left out."""
        reading = _Reading(time.monotonic() + seconds_max)
        try:
            self._connect(seconds_max)
            failure = self._answered(reading, json.dumps(body).encode())
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            failure = "timeout" if isinstance(error, TimeoutError) else _broken(error, reading)
        if failure:
            self._connection.close()
        return reading.call(failure)

    def _connect(self, seconds_max: float) -> None:
        if self._connection.sock is None:
            self._connection.timeout = seconds_max
            self._connection.connect()

    def _answered(self, reading: "_Reading", body: bytes) -> str:
        """Return what failed, or nothing."""
        sock = self._connection.sock
        headers = {**self._way.headers, "Content-Type": "application/json", "Accept": "text/event-stream"}
        reading.sent_at = time.monotonic()
        sock.settimeout(reading.left())
        self._connection.request("POST", self._way.base.path + "/chat/completions", body, headers)
        with self._connection.getresponse() as response:
            if response.status != http.client.OK:
                code = error_code(response.read(BODY_BYTES_MAX))
                return f"status {response.status}" + (f" {code}" if code else "")
            while not response.isclosed():
                sock.settimeout(reading.left())
                data = response.read1(READ_BYTES)
                if not data:
                    break
                reading.take(data)
        return reading.error or ("" if reading.done else "no end ([DONE])")


class _Reading:
    """One answer as it comes. Raises TimeoutError once its time is up."""

    def __init__(self, deadline: float) -> None:
        self._deadline, self._parser = deadline, FrameParser(FRAME_BYTES_MAX)
        self.sent_at = self._first_at = self._last_at = 0.0
        self._usage: Usage | None = None
        self.done, self.error = False, ""

    def left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def take(self, data: bytes) -> None:
        now = time.monotonic()
        for frame in frames_in(self._parser.feed(data)):
            text = data_of(frame)
            self.done = self.done or text == DONE
            self.error = self.error or error_code(text)
            self._usage = usage_in(text) or self._usage
            if _has_text(text):
                self._first_at, self._last_at = self._first_at or now, now

    def call(self, failure: str) -> Call:
        if not self._first_at:
            return Call(failure or "no text", usage=self._usage)
        return Call(failure, self._first_at - self.sent_at, self._last_at - self._first_at, self._usage)


def _has_text(data: bytes) -> bool:
    chunk = read(_chunk, data)
    return chunk is not None and any(choice.delta.content or choice.delta.reasoning_content for choice in chunk.choices)


def _broken(error: Exception, reading: _Reading) -> str:
    """An error frame says more than the broken connection behind it."""
    if reading.error:
        return reading.error
    return "connection broke off" if reading.sent_at else f"no connection ({type(error).__name__})"
