"""gunicorn's own loop over connections, with the relay's connections attached, on gevent's loop in this process."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
from gevent import socket
from gunicorn.config import Config
from gunicorn.workers.ggevent import GeventWorker

from relay.connections.connections import RESERVE, Connections

pytest.register_assert_rewrite("tests.pump.partners")

from tests.pump.partners import Caller, pair  # noqa: E402
from tests.pump.stage import Log  # noqa: E402

PEER = ("127.0.0.1", 1)
SECONDS_MAX = 20.0
Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


class Serving:
    """`connections`: there may be `admitted` of them beside the reserve. `application`: what answers."""

    def __init__(self, admitted: int = 10) -> None:
        self.connections = Connections(admitted + RESERVE)
        self.application: Application = hello
        self.log = Log()
        self.greenlets: list[gevent.Greenlet] = []
        config = Config()
        config.set("keepalive", 60)
        self.worker: Any = GeventWorker(0, os.getpid(), [], None, 30, config, self.log)
        self.worker.tmp.close()
        self.worker.wsgi = self._answer
        self.connections.attach(self.worker)
        self._held = ExitStack()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return self.application(environ, start_response)

    def accept(self) -> tuple[Caller, socket.socket]:
        """One more connection: its caller, and the socket that serves it. Its greenlet has not run yet."""
        near, far = pair()
        self._held.enter_context(near)  # gunicorn closes the other end
        self.greenlets.append(gevent.spawn(self.worker.handle, far, far, PEER))
        return Caller(near), far

    def connect(self) -> tuple[Caller, socket.socket]:
        """The same, and it has run."""
        ends = self.accept()
        gevent.sleep(0)
        return ends

    def close(self) -> None:
        self._held.close()
        gevent.joinall(self.greenlets, timeout=5)


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A test that waits in vain fails, whatever it waits for."""
    with gevent.Timeout(SECONDS_MAX):
        yield


@pytest.fixture
def serve(bounded: None) -> Iterator[Callable[..., Serving]]:
    """serve(admitted=3): in the end nothing is left, and there was nothing to complain of."""
    with ExitStack() as served:

        def make(admitted: int = 10) -> Serving:
            serving = Serving(admitted)
            served.callback(_check, serving)
            served.callback(serving.close)
            return serving

        yield make


def _check(serving: Serving) -> None:
    assert (serving.connections.busy, list(serving.connections.idle)) == (set(), [])
    assert serving.log.failures == []


@pytest.fixture
def serving(serve: Callable[..., Serving]) -> Serving:
    return serve()
