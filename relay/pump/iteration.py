"""The same source and flow as a WSGI iterable, for servers without a socket to take over: correct first, fast
second.
"""

import time
from collections.abc import Iterator
from typing import Any

from relay.core.body import BadBody
from relay.core.flow import Ending
from relay.pump.source import Source
from relay.pump.stream import Bounds


class Truncated(Exception):
    """Raised behind the error frame: the server must not end this response as if it were whole.

    Not an OSError, which servers swallow.
    """


class Iteration:
    """Iterates over what a caller gets; `close()` releases the exchange, once, however far the iteration went."""

    def __init__(self, exchange: Any, bounds: Bounds) -> None:
        self._exchange, self._flow, self._bounds = exchange, exchange.flow, bounds
        self._source = Source(exchange.upstream)
        self._decoder = self._source.decoder
        self._ending: Ending | None = None
        self._first_at = 0.0
        self._bytes_out = 0
        self._chunks = self._run()

    def __iter__(self) -> "Iteration":
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._first_at = self._first_at or time.monotonic()
        self._bytes_out += len(chunk)
        return chunk

    def collect(self, bytes_max: int) -> bytes:
        """Return the whole body, or nothing where it is not whole or larger than `bytes_max`."""
        body = b""
        for chunk in self._until_ended():
            body += chunk
            if len(body) > bytes_max:
                self._end(Ending("oversize"))
                break
        ending = self._ending or Ending("oversize")
        self._exchange.meter.ended(ending, self._flow, 0, 0.0)
        body += ending.last
        return body if ending.whole and len(body) <= bytes_max else b""

    def close(self) -> None:
        ending = self._ending or Ending("client_gone")
        self._exchange.meter.ended(ending, self._flow, self._bytes_out + len(ending.last), self._first_at)
        self._exchange.close()

    def _run(self) -> Iterator[bytes]:
        yield from self._until_ended()
        ending = self._ending or Ending("done", whole=True)
        self.close()  # the slot is free before the caller reads the end
        if ending.last:
            yield ending.last
        if not ending.whole:
            raise Truncated(ending.end)

    def _until_ended(self) -> Iterator[bytes]:
        begun_at = read_at = time.monotonic()
        data: bytes | None = self._source.buffered
        while True:
            if data is not None:
                read_at = time.monotonic()
                out = self._take(data)
            else:
                out = self._silence(time.monotonic() - read_at)
            if out:
                yield out
            if time.monotonic() - begun_at >= self._bounds.total_seconds_max:
                self._end(self._flow.broken("deadline", "deadline_exceeded"))
            if self._ending is not None:
                return
            data = self._read()

    def _take(self, data: bytes) -> bytes:
        flow, decoder = self._flow, self._decoder
        try:
            payload, is_broken = self._decoded(data)
            out: bytes = flow.feed(payload)
        except Exception as error:
            self._exchange.meter.failed(error)
            self._end(flow.broken("truncated", "internal_error"))
            return b""
        if is_broken:  # what was complete before is complete
            whole = flow.verdict(body_ended=False) if flow.terminal else None
            self._end(whole or flow.broken("truncated", "upstream_bad_response"))
            return out
        if decoder.ended and flow.ends_with_its_body:  # complete with its last byte: the slot must be free before that
            verdict = flow.verdict(body_ended=True)
            self._end(Ending(verdict.end, out + verdict.last, verdict.whole))
            return b""
        if flow.overflowed:
            self._end(flow.broken("oversize", "frame_too_large"))
        elif flow.terminal or decoder.ended:
            self._end(flow.verdict(body_ended=decoder.ended))
        return out

    def _decoded(self, data: bytes) -> tuple[bytes, bool]:
        """Payload, and whether the upstream broke its framing behind it."""
        try:
            return self._decoder.feed(data), False
        except BadBody as error:
            return error.payload, True

    def _silence(self, idle_seconds: float) -> bytes:
        if idle_seconds >= self._bounds.idle_seconds_max:
            self._end(self._flow.broken("stall", "upstream_idle_timeout"))
            return b""
        ping: bytes = self._flow.ping
        return ping

    def _read(self) -> bytes | None:
        """Return bytes, or None after a silence. The end of the connection ends the iteration."""
        until = time.monotonic() + min(self._bounds.heartbeat_seconds, self._bounds.idle_seconds_max)
        try:
            data = self._source.read()
            while data is None and self._source.wait(until - time.monotonic()):
                data = self._source.read()
        except OSError:
            self._end(self._flow.broken("reset", "upstream_disconnected"))
            return b""
        if data == b"":
            self._end(self._flow.verdict(body_ended=self._decoder.at_eof()))
        return data

    def _end(self, ending: Ending) -> None:
        self._ending = self._ending or ending
