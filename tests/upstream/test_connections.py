"""Connections: one deadline over all that connecting takes, and none that has gone stale is used again."""

import select
import ssl
import time
from typing import Any

import gevent
import pytest
from urllib3.exceptions import NewConnectionError

from relay.core.targets import Target
from relay.upstream import connections, pool
from relay.upstream.connections import POOLED_SECONDS_MAX, ConnectDeadline, Connecting, HandshakeFailed, _Pooled
from relay.upstream.upstreams import Upstreams
from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.upstream.conftest import KEY, Ask, read_body


class Clock:
    """Stands for the module `time` where connections grow old."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


def one_request(upstreams: Upstreams, target: Target) -> Any:
    """Send one, read its answer, and give the connection back."""
    with upstreams.open([target], Ask()) as answer:
        read_body(answer)
        answer.give_back()
    return answer


@pytest.fixture
def target(upstream: ScriptedUpstream) -> Target:
    return Target("default", upstream.base_url, KEY)


def test_a_connection_that_was_given_back_is_used_again(
    upstream: ScriptedUpstream, upstreams_of: Any, target: Target
) -> None:
    upstreams = upstreams_of(target)
    for _ in range(5):
        one_request(upstreams, target)
    assert (upstream.accepted, len(upstream.requests)) == (1, 5)


def test_a_connection_that_slept_for_too_long_is_not(
    upstream: ScriptedUpstream, upstreams_of: Any, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(connections, "time", clock)
    monkeypatch.setattr(pool, "time", clock)
    upstreams = upstreams_of(target)
    one_request(upstreams, target)
    clock.now += POOLED_SECONDS_MAX - 0.01
    one_request(upstreams, target)
    assert upstream.accepted == 1
    clock.now += POOLED_SECONDS_MAX
    one_request(upstreams, target)
    assert upstream.accepted == 2


@pytest.mark.parametrize("surplus", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"], ids=["closed", "has spoken"])
def test_a_connection_whose_upstream_closed_it_or_spoke_unasked_is_not(
    upstream: ScriptedUpstream, upstreams_of: Any, target: Target, surplus: bytes
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(json_answer({"n": 1}))
        conn.stall(0.02)
        if surplus:
            conn.send(surplus)
        else:
            conn.finish()
        conn.wait_closed(2)

    upstream.answer(script)
    upstreams = upstreams_of(target)
    for _ in range(3):
        answer = one_request(upstreams, target)
        assert select.select([answer.sock], [], [], 2)[0], "nothing came"
    assert (upstream.accepted, len(upstream.requests)) == (3, 3)


def connecting(connect: Any, seconds_max: float = 5.0) -> Any:
    """One of our connections above one that connects like this."""

    class Below:
        def connect(self) -> None:
            connect()

    class Ours(_Pooled, Below):
        pass

    ours = Ours()
    ours.connecting = Connecting(time.monotonic() + seconds_max)
    return ours


def raising(error: BaseException) -> Any:
    def connect() -> None:
        raise error

    return connect


def test_connecting_has_one_deadline_over_all_its_steps() -> None:
    steps: list[str] = []

    def connect() -> None:
        for step in ("DNS", "TCP", "TLS"):
            steps.append(step)
            gevent.sleep(0.04)

    with pytest.raises(ConnectDeadline):
        connecting(connect, 0.06).connect()
    assert steps == ["DNS", "TCP"]


@pytest.mark.parametrize("error", [ssl.SSLError("bad"), ConnectionResetError(), ValueError("no name in it")])
def test_what_fails_after_tcp_is_the_handshake(error: Exception) -> None:
    with pytest.raises(HandshakeFailed):
        connecting(raising(error)).connect()


def test_what_fails_before_keeps_its_name() -> None:
    with pytest.raises(NewConnectionError):
        connecting(raising(NewConnectionError(None, "refused"))).connect()


def test_another_deadline_that_strikes_while_connecting_is_not_taken_for_ours() -> None:
    with pytest.raises(gevent.Timeout) as caught, gevent.Timeout(0.01):
        connecting(lambda: gevent.sleep(5)).connect()
    assert not isinstance(caught.value, ConnectDeadline)
