"""A demo upstream in this process, and raw callers for it: both on gevent's loop, so that nothing needs a thread."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import gevent
import pytest
from gevent import socket

from relay.demo.server import DemoUpstream

CHAT = "/v1/chat/completions"


class RawCaller:
    """Sends bytes and keeps all that came back."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.received = b""

    def post(self, model: str, *, path: str = CHAT, stream: bool = True, headers: str = "", **fields: object) -> None:
        body = json.dumps({"model": model, "stream": stream, "messages": [], **fields}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.sock.sendall(head.encode() + body)

    def get(self, path: str) -> None:
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def until(self, mark: bytes) -> bytes:
        while mark not in self.received:
            data = self.sock.recv(65_536)
            assert data, f"closed before {mark!r}, after {self.received[-300:]!r}"
            self.received += data
        return self.received

    def to_the_end(self) -> bytes:
        """Raises ConnectionResetError where the server reset."""
        while data := self.sock.recv(65_536):
            self.received += data
        return self.received

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def upstream() -> Iterator[DemoUpstream]:
    with DemoUpstream() as server:
        yield server


@pytest.fixture
def connect(upstream: DemoUpstream) -> Iterator[Callable[[], RawCaller]]:
    with ExitStack() as opened:

        def connect() -> RawCaller:
            caller = RawCaller(upstream.port)
            opened.callback(caller.close)
            return caller

        yield connect


@pytest.fixture
def wait_until() -> Callable[..., None]:
    def wait_until(true: Callable[[], bool], seconds_max: float = 1.0) -> None:
        with gevent.Timeout(seconds_max):
            while not true():
                gevent.sleep(0.005)

    return wait_until


@pytest.fixture
def in_a_thread() -> Callable[..., object]:
    """Runs a blocking client beside the loop that serves it."""
    return gevent.get_hub().threadpool.apply
