"""One contract test for each private part of gunicorn that the pump stands on; each name says what would break."""

import os
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent import socket, ssl
from gunicorn import http
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import InvalidResponseHeader
from gunicorn.workers.ggevent import GeventWorker

from relay.pump.departure import CallerGone, CallerSlow
from relay.pump.takeover import ALREADY_HANDLED, HungUp, Wire, caller_socket, hang_up, open_wire, raw_socket
from tests.pump.partners import LAST_CHUNK, Caller, chunk, fill, until
from tests.pump.stage import Log, Stage

Ends = tuple[Caller, socket.socket]
EVENTS = [("Content-Type", "text/event-stream")]
PEER = ("127.0.0.1", 1)


class Served:
    """gunicorn's response to a request, and its WSGI environment."""

    def __init__(self, ends: Ends, request: bytes) -> None:
        self.caller, self.sock = ends
        self.caller.send(request)
        self.request = next(http.get_parser(Config(), self.sock, PEER))
        self.response, self.environ = wsgi.create(self.request, self.sock, PEER, PEER, Config())

    def open(self, *headers: tuple[str, str]) -> Wire:
        return open_wire(self.response.start_response, "200 OK", [*EVENTS, *headers], 5.0)


@pytest.fixture
def serve(ends: Ends) -> Callable[..., Served]:
    return lambda request=b"GET / HTTP/1.1\r\n\r\n": Served(ends, request)


@pytest.fixture
def worker(ends: Ends) -> Any:
    """handle(application): gunicorn's loop over the caller's connection; returns its greenlet and its log."""

    def handle(application: Callable[..., Any]) -> tuple[gevent.Greenlet, Log]:
        log = Log()
        made = GeventWorker(0, os.getpid(), [], None, 30, Config(), log)
        made.wsgi = application
        made.tmp.close()
        return gevent.spawn(made.handle, ends[1], ends[1], PEER), log

    return handle


def test_the_wire_stands_on_start_response_returning_the_bound_write_of_its_response(
    ends: Ends, serve: Callable[..., Served]
) -> None:
    served = serve()
    write = served.response.start_response("200 OK", list(EVENTS))
    assert write.__self__ is served.response
    assert served.response.sock is ends[1]
    assert callable(served.response.should_close)
    assert served.response.chunked is True


def test_opening_stands_on_writing_nothing_sending_the_head_and_nothing_else(
    ends: Ends, serve: Callable[..., Served]
) -> None:
    """An empty chunk would end the response."""
    serve().open()
    caller = ends[0]
    caller.until(b"\r\n\r\n")
    assert caller.gets_nothing(0.02)
    assert caller.after_head == b""
    assert b"\r\nTransfer-Encoding: chunked\r\n" in caller.received
    assert b"\r\nContent-Type: text/event-stream" in caller.received


@pytest.mark.parametrize(
    ("request_line", "headers", "framed", "last"),
    [
        (b"GET / HTTP/1.1", [], chunk(b"data"), LAST_CHUNK),
        (b"GET / HTTP/1.0", [], b"data", b""),
        (b"GET / HTTP/1.1", [("Content-Length", "4")], b"data", b""),
    ],
    ids=["HTTP/1.1", "HTTP/1.0", "with a length"],
)
def test_framing_stands_on_gunicorn_saying_whether_it_chunked(
    serve: Callable[..., Served], request_line: bytes, headers: list[tuple[str, str]], framed: bytes, last: bytes
) -> None:
    served = serve(request_line + b"\r\n\r\n")
    wire = served.open(*headers)
    head = served.caller.until(b"\r\n\r\n").lower()
    assert wire.chunked == (b"transfer-encoding: chunked" in head) == bool(last)
    assert (wire.framed(b"data"), wire.framed(b""), wire.last_chunk) == (framed, b"", last)


@pytest.mark.parametrize(
    ("request_", "length", "closes"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", False, False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False, True),
        (b"GET / HTTP/1.0\r\n\r\n", False, True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True, False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False, True),
    ],
)
def test_the_end_of_a_response_stands_on_gunicorn_saying_whether_it_closes(
    serve: Callable[..., Served], request_: bytes, length: bool, closes: bool
) -> None:
    """And the head that went out must say the same."""
    served = serve(request_)
    assert served.open(*[("Content-Length", "4")] * length).closes is closes
    assert (b"\r\nConnection: close\r\n" in served.caller.until(b"\r\n\r\n")) is closes


def test_the_end_of_a_response_stands_on_a_draining_worker_forcing_it_to_close(serve: Callable[..., Served]) -> None:
    served = serve()
    served.response.force_close()
    assert served.open().closes is True


def test_header_safety_stands_on_gunicorn_refusing_before_any_byte_went_out(
    ends: Ends, serve: Callable[..., Served]
) -> None:
    with pytest.raises(InvalidResponseHeader):
        serve().open(("X-Split", "a\r\nSet-Cookie: b"))
    assert ends[0].gets_nothing(0.02)


def test_watching_the_caller_stands_on_its_socket_in_the_environment(ends: Ends, serve: Callable[..., Served]) -> None:
    assert caller_socket(serve().environ) is ends[1]


def test_watching_the_caller_stands_on_the_loops_sockets_having_a_raw_one() -> None:
    with socket.socket() as sock:
        assert caller_socket({"gunicorn.socket": sock}) is sock


def test_never_waiting_stands_on_the_raw_socket_within_the_loops_own() -> None:
    ours, other = socket.socketpair()
    with ours, other:
        raw = raw_socket(ours)
        assert (raw.fileno(), raw_socket(raw)) == (ours.fileno(), raw)
        with pytest.raises(BlockingIOError):
            raw.recv(1)


def test_no_socket_is_taken_where_there_is_none_or_where_it_is_encrypted(tls: Any, ends: Ends) -> None:
    assert caller_socket({}) is None
    assert caller_socket({"gunicorn.socket": None}) is None
    assert caller_socket({"gunicorn.socket": object()}) is None
    encrypted = tls.server.wrap_socket(ends[1], server_side=True, do_handshake_on_connect=False)
    assert isinstance(encrypted, ssl.SSLSocket)
    with encrypted, pytest.MonkeyPatch.context() as patch:
        patch.setattr("relay.pump.takeover.ssl", ssl)  # as a server would have patched it
        assert caller_socket({"gunicorn.socket": encrypted}) is None


def test_taking_over_stands_on_gunicorn_adding_nothing_to_what_was_already_handled(ends: Ends, worker: Any) -> None:
    """And on its loop going on to the next request on the same connection."""
    caller, sock = ends

    def application(environ: dict[str, Any], start_response: Any) -> object:
        wire = open_wire(start_response, "200 OK", EVENTS, 5.0)
        wire.sock.sendall(wire.framed(b"all") + wire.last_chunk)
        return ALREADY_HANDLED

    greenlet, log = worker(application)
    for _ in range(2):
        caller.ask()
        caller.until(LAST_CHUNK)
        assert caller.gets_nothing(0.02)
        assert caller.after_head == chunk(b"all") + LAST_CHUNK
        caller.forget()
    caller.close()
    until(lambda: greenlet.dead)
    assert log.failures == []


def test_hanging_up_stands_on_gunicorn_being_silent_about_a_socket_that_was_shut_down(ends: Ends, worker: Any) -> None:
    caller, sock = ends

    def application(environ: dict[str, Any], start_response: Any) -> object:
        open_wire(start_response, "200 OK", EVENTS, 5.0).hang_up()
        return ALREADY_HANDLED

    greenlet, log = worker(application)
    caller.ask()
    assert caller.to_the_end().endswith(b"\r\n\r\n")
    until(lambda: greenlet.dead)
    assert (log.failures, sock.closed) == ([], True)


def test_beginning_no_further_request_stands_on_gunicorn_ending_a_connection_without_a_word(
    ends: Ends, worker: Any
) -> None:
    """A pipelined request is in its buffer already."""
    caller, sock = ends
    begun: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Any) -> object:
        begun.append(environ)
        open_wire(start_response, "200 OK", EVENTS, 5.0).hang_up()
        raise HungUp

    greenlet, log = worker(application)
    caller.send(b"GET / HTTP/1.1\r\n\r\n" * 3)
    assert caller.sees_the_other_leave(1)
    until(lambda: greenlet.dead)
    assert (len(begun), log.failures, sock.closed) == (1, [], True)


def test_a_head_that_does_not_fit_into_a_full_socket_is_given_up_in_time(
    ends: Ends, serve: Callable[..., Served]
) -> None:
    served = serve()
    fill(ends[1])
    ends[1].settimeout(None)
    with pytest.raises(CallerSlow), gevent.Timeout(2):
        open_wire(served.response.start_response, "200 OK", EVENTS, 0.05)


def test_a_head_for_a_caller_that_reset_the_connection_means_that_it_is_gone(
    ends: Ends, serve: Callable[..., Served]
) -> None:
    served = serve()
    ends[0].reset()
    with pytest.raises(CallerGone) as caught:
        served.open()
    assert caught.value.end == "client_gone"


def test_hanging_up_twice_or_on_a_closed_connection_is_no_failure(ends: Ends) -> None:
    hang_up(ends[1])
    hang_up(ends[1])
    ends[1].close()
    hang_up(ends[1])


def test_the_served_stage_uses_gunicorns_own_loop(stage: Callable[..., Stage]) -> None:
    """The other tests of this directory would prove nothing otherwise."""
    assert type(stage()._worker) is GeventWorker
