"""One contract test for each private part of http.client, urllib3 and requests that the pump and the upstream room
stand on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from http.client import ResponseNotReady
from typing import Any

import gevent
import pytest
from gevent import socket
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from relay.pump.takeover import give_back, upstream_socket
from relay.upstream import connections
from relay.upstream.connections import begin_connecting
from relay.upstream.upstreams import AS_IT_COMES
from tests.pump.partners import LAST_CHUNK, STREAM_HEAD, Answering, chunk
from tests.pump.stage import Ask, Stage, Tls

LENGTH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


class Room:
    """The upstream room in front of an upstream that the test plays."""

    def __init__(self, stage: Stage, opened: ExitStack) -> None:
        self.stage, self._opened = stage, opened
        [pool] = stage.upstreams._pools.values()
        self.pool = pool.connections

    def send(self) -> gevent.Greenlet:
        """A greenlet that returns an answer once its head is there."""
        opening = self.stage.upstreams.open([self.stage.target], Ask(nullcontext()))
        return gevent.spawn(self._opened.enter_context, opening)

    def take(self, sent: bytes = STREAM_HEAD) -> tuple[Any, Answering]:
        answer, upstream = self.send(), self.stage.upstream.next()
        upstream.send(sent)
        return answer.get().response, upstream

    def take_again(self, upstream: Answering, sent: bytes = STREAM_HEAD) -> Any:
        """The answer to a request that comes on the same connection."""
        answer = self.send()
        upstream.read_request()
        upstream.send(sent)
        return answer.get().response


@pytest.fixture
def room(stage: Callable[..., Stage]) -> Iterator[Room]:
    made = stage()
    with ExitStack() as opened:
        yield Room(made, opened)


def test_reading_the_body_stands_on_the_socket_below_http_clients_reader(room: Room) -> None:
    response, upstream = room.take()
    sock, _ = upstream_socket(response)
    assert isinstance(sock, socket.socket)
    assert sock.getpeername()[1] == room.stage.upstream.port
    upstream.send(b"raw bytes")
    gevent.sleep(0.02)
    assert sock.recv(100) == b"raw bytes"


def test_never_waiting_stands_on_a_timeout_of_zero(room: Room) -> None:
    sock, _ = upstream_socket(room.take()[0])
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_the_beginning_of_a_body_stands_on_peek_showing_what_the_reader_took_with_the_head(room: Room) -> None:
    assert upstream_socket(room.take(STREAM_HEAD + b"5\r\nda")[0])[1] == b"5\r\nda"


def test_an_empty_beginning_stands_on_peek_returning_nothing_without_waiting(room: Room) -> None:
    with gevent.Timeout(0.5):
        assert upstream_socket(room.take()[0])[1] == b""


def test_an_empty_beginning_on_tls_stands_on_peek_saying_so(stage: Callable[..., Stage], tls: Tls) -> None:
    with ExitStack() as opened, gevent.Timeout(2):
        made = Room(stage(tls=tls), opened)
        assert upstream_socket(made.take()[0])[1] == b""
        assert upstream_socket(made.take(STREAM_HEAD + b"5\r\nda")[0])[1] == b"5\r\nda"


def test_giving_back_stands_on_closing_http_clients_response_before_releasing(room: Room) -> None:
    response, upstream = room.take(LENGTH_HEAD + b"body")
    give_back(response)
    assert room.take_again(upstream).status == 200
    assert len(room.stage.upstream.accepted) == 1


def test_a_connection_that_was_only_released_cannot_be_used_again(room: Room, loop_failures: list[str]) -> None:
    """Why giving back is more than that: the request is sent and paid, and then http.client refuses to read."""
    response, upstream = room.take(LENGTH_HEAD + b"body")
    response._connection.idle_since = time.monotonic()
    response.release_conn()
    again = gevent.spawn(send, room, "POST", body=b"")
    upstream.read_request()
    with pytest.raises(HTTPError, match=ResponseNotReady.__name__):
        again.get(timeout=2)
    loop_failures.clear()


def test_a_reused_connection_stands_on_urllib3_setting_its_timeout_anew(room: Room) -> None:
    """The pump left it at zero: sending a large body, or waiting for the head, would fail."""
    response, upstream = room.take(LENGTH_HEAD + b"body")
    sock, _ = upstream_socket(response)
    assert sock.gettimeout() == 0.0
    give_back(response)
    opening = room.send()
    upstream.read_request()
    gevent.sleep(0.05)
    assert (opening.ready(), sock.gettimeout()) == (False, None)
    upstream.send(STREAM_HEAD)
    assert opening.get(timeout=1).status == 200


def test_a_response_stands_on_keeping_its_connection_until_it_is_given_back(room: Room) -> None:
    """`release_conn=False`: urllib3 would else put it back before the body was read."""
    response, _ = room.take(LENGTH_HEAD + b"body")
    assert response._connection is not None
    assert not any(room.pool.pool.connections)
    give_back(response)
    assert response._connection is None
    assert any(room.pool.pool.connections)


def test_closing_stands_on_urllib3_closing_the_connection_with_its_response(room: Room) -> None:
    response, upstream = room.take()
    response.close()
    assert upstream.sees_the_other_leave(0.5)
    assert not any(room.pool.pool.connections)


def test_no_stale_connection_stands_on_the_pool_asking_is_connected(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    response, upstream = room.take(LENGTH_HEAD + b"body")
    give_back(response)
    monkeypatch.setattr(connections, "POOLED_SECONDS_MAX", 0.0)
    other, _ = room.take()
    assert other.status == 200
    assert upstream.sees_the_other_leave(0.5)


@pytest.mark.parametrize("act", [Answering.close, lambda upstream: upstream.send(b"x")], ids=["closed", "talks"])
def test_no_used_up_connection_stands_on_its_socket_being_readable(
    room: Room, act: Callable[[Answering], None]
) -> None:
    response, upstream = room.take(LENGTH_HEAD + b"body")
    give_back(response)
    act(upstream)
    gevent.sleep(0.02)
    room.take()
    assert len(room.stage.upstream.accepted) == 2


def test_the_connect_deadline_stands_on_the_adapters_pools_using_our_connections(room: Room) -> None:
    assert isinstance(HTTPAdapter().poolmanager.pool_classes_by_scheme, dict)
    assert isinstance(room.pool, HTTPConnectionPool)
    response, _ = room.take()
    assert isinstance(response._connection, connections._Pooled)
    assert isinstance(response._connection, HTTPConnection)


def send(room: Room, method: str, **body: bytes) -> Any:
    begin_connecting(2.0)
    return room.pool.urlopen(method, "/v1/x", timeout=None, **body, **AS_IT_COMES)


def test_only_unsent_requests_are_repeated_stands_on_urllib3_repeating_nothing_itself(
    room: Room, loop_failures: list[str]
) -> None:
    sent = gevent.spawn(send, room, "POST", body=b"")
    room.stage.upstream.next().close()
    with pytest.raises(HTTPError):
        sent.get(timeout=2)
    loop_failures.clear()
    gevent.sleep(0.02)
    assert len(room.stage.upstream.accepted) == 1


def test_an_interim_answer_stands_on_http_client_taking_it_for_the_final_one(room: Room) -> None:
    """The upstream room refuses a status below 200 because of that."""
    sent = gevent.spawn(send, room, "GET")
    room.stage.upstream.next().send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + LENGTH_HEAD + b"body")
    response = sent.get(timeout=2)
    assert response.status == 103
    response.close()


def test_a_body_as_it_came_stands_on_reading_below_every_decoder(room: Room) -> None:
    response, _ = room.take(STREAM_HEAD + chunk(b"data: a\n\n") + LAST_CHUNK)
    assert upstream_socket(response)[1] == chunk(b"data: a\n\n") + LAST_CHUNK
