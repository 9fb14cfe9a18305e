"""One caller's connection: read a request, play its script, watch for the caller's leaving meanwhile."""

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import IPPROTO_TCP, SHUT_WR, SO_LINGER, SOL_SOCKET, TCP_NODELAY

import gevent
from gevent.socket import socket, wait_read

from relay.demo.answers import answer
from relay.demo.script import JSON, End, Pause, Script, encode, error, whole
from relay.demo.tally import Tally
from relay.demo.wire import BODY_BYTES_MAX, CallerGone, Reader, Refused, Request

IDLE_SECONDS_MAX = 75.0
REQUEST_SECONDS_MAX = 30.0
WRITE_SECONDS_MAX = 600.0
LINGER_SECONDS_MAX = 1.0
STATS_PATH = "/demo/stats"


class Connection:
    """Serves requests one after the other until either side ends it."""

    def __init__(self, sock: socket, tally: Tally) -> None:
        self._sock = sock
        self._tally = tally
        self._reader = Reader(self._receive, sock.sendall)
        sock.settimeout(WRITE_SECONDS_MAX)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # a frame must not wait for the previous one's ACK

    def serve(self) -> None:
        with suppress(CallerGone, OSError):
            while self._serve_one():
                pass

    def _serve_one(self) -> bool:
        """Whether the connection may carry another request."""
        try:
            request = self._read()
        except Refused as refusal:
            return self._refuse(refusal)
        end = self._play_watched(self._script(request))
        if end is End.RESET:
            self._reset()
        return end is None and request.keeps_alive

    def _read(self) -> Request:
        with gevent.Timeout(IDLE_SECONDS_MAX, CallerGone):
            self._reader.await_first_byte()
        with gevent.Timeout(REQUEST_SECONDS_MAX, CallerGone):
            return self._reader.read()

    def _refuse(self, refusal: Refused) -> bool:
        self._play(error(refusal.status, str(refusal), "invalid_request", "Connection: close"))
        self._linger()
        return False

    def _script(self, request: Request) -> Script:
        if request.path == STATS_PATH:
            return whole(200, encode(self._tally.as_dict()), JSON)
        self._tally.requests += 1
        try:
            return answer(request, self._tally.requests, int(time.time()))
        except Refused as refusal:
            return error(refusal.status, str(refusal), "invalid_request")

    def _play_watched(self, script: Script) -> End | None:
        with self._departure_watched(), self._tally.generation():
            return self._play(script)

    def _play(self, script: Script) -> End | None:
        due = time.monotonic()
        for step in script:
            if isinstance(step, End):
                return step
            if isinstance(step, Pause):
                due += step.seconds
                gevent.sleep(max(0.0, due - time.monotonic()))
            else:
                self._sock.sendall(step)
        return None

    @contextmanager
    def _departure_watched(self) -> Iterator[None]:
        """Raises CallerGone in the greenlet that answers, wherever it waits, when the caller leaves."""
        watcher = gevent.spawn(self._watch, gevent.getcurrent())
        try:
            yield
        finally:
            watcher.kill()

    def _watch(self, answering: gevent.Greenlet) -> None:
        with suppress(CallerGone, OSError):
            while self._read_ahead() <= BODY_BYTES_MAX:
                pass
        gevent.kill(answering, CallerGone)

    def _read_ahead(self) -> int:
        """Take what arrives while an answer is made (pipelined requests, or the end); returns how many bytes wait."""
        wait_read(self._sock.fileno())
        data = self._receive()
        if not data:
            raise CallerGone
        return self._reader.push(data)

    def _receive(self) -> bytes:
        data: bytes = self._sock.recv(65_536)
        return data

    def _reset(self) -> None:
        self._sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def _linger(self) -> None:
        """Closing on unread bytes would reset the answer away (RFC 9112, 9.6): read on for a moment."""
        self._sock.shutdown(SHUT_WR)
        with gevent.Timeout(LINGER_SECONDS_MAX, False):
            while self._receive():
                pass
