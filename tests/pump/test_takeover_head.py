"""A head that waits for the first bytes: what that stands on in gunicorn."""

import pytest
from gevent import socket
from gunicorn import http
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import InvalidResponseHeader

from relay.pump.takeover import begin_wire
from tests.pump.partners import Caller, chunk

Ends = tuple[Caller, socket.socket]
EVENTS = [("Content-Type", "text/event-stream")]
PEER = ("127.0.0.1", 1)


@pytest.fixture
def response(ends: Ends) -> wsgi.Response:
    """gunicorn's response to a request."""
    ends[0].send(b"GET / HTTP/1.1\r\n\r\n")
    request = next(http.get_parser(Config(), ends[1], PEER))
    return wsgi.create(request, ends[1], PEER, PEER, Config())[0]


def test_it_stands_on_gunicorn_writing_it_to_the_socket_of_its_response(ends: Ends, response: wsgi.Response) -> None:
    wire = begin_wire(response.start_response, "200 OK", EVENTS)
    assert ends[0].gets_nothing(0.02)
    assert response.sock is wire.sock is ends[1]
    first = wire.framed(b"data")
    wire.sock.sendall(first)
    assert ends[0].until(b"data\r\n") == first
    head, _, rest = first.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: text/event-stream" in head
    assert rest == chunk(b"data")
    assert (wire.head, wire.framed(b"more")) == (b"", chunk(b"more"))


def test_it_is_the_whole_answer_where_there_is_no_body(ends: Ends, response: wsgi.Response) -> None:
    wire = begin_wire(response.start_response, "200 OK", [("Content-Length", "0")])
    assert wire.framed(b"").endswith(b"\r\nContent-Length: 0\r\n\r\n")


def test_a_head_that_gunicorn_refuses_leaves_its_socket_in_its_place(ends: Ends, response: wsgi.Response) -> None:
    with pytest.raises(InvalidResponseHeader):
        begin_wire(response.start_response, "200 OK", [("X-Split", "a\r\nSet-Cookie: b")])
    assert response.sock is ends[1]
    assert ends[0].gets_nothing(0.02)
