"""What nobody read of a request: how much it is, that it is read away, and for how long. One contract test for each
private part of gunicorn that this stands on.
"""

import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent import socket
from gunicorn import http
from gunicorn.config import Config
from gunicorn.http import wsgi

from relay.connections import unread
from relay.connections.unread import (
    KEPT_BYTES_MAX,
    end_where_unread,
    read_away,
    read_away_until_closed,
    unread_bytes,
)
from tests.connections.conftest import PEER, Serving
from tests.pump.partners import LAST_CHUNK, Caller, chunk, pair, until

CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
MEBIBYTE = 2**20


class Request:
    """A request as gunicorn parses it, its body unread; its response and its environment."""

    def __init__(self, sock: socket.socket, caller: Caller, head: bytes) -> None:
        self.sock, self.caller = sock, caller
        caller.send(head)
        parsed = next(http.get_parser(Config(), sock, PEER))
        self.body = parsed.body
        self.response, self.environ = wsgi.create(parsed, sock, PEER, PEER, Config())


@pytest.fixture
def request_of() -> Any:
    """request_of(head): what follows is up to the test."""
    near, far = pair()
    with near, far:
        yield lambda head: Request(far, Caller(near), head)


def post(length: int) -> bytes:
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % length


def test_the_rest_of_a_body_stands_on_gunicorns_reader_counting_it(request_of: Any) -> None:
    request = request_of(post(3_000))
    assert unread_bytes(request.body) == 3_000
    request.caller.send(b"x" * 3_000)
    assert request.body.read(2_000) == b"x" * 2_000
    assert unread_bytes(request.body) == 1_000
    assert request.body.read() == b"x" * 1_000
    assert unread_bytes(request.body) == 0


def test_a_chunked_body_may_go_on_until_gunicorns_parser_has_seen_its_end(request_of: Any) -> None:
    request = request_of(CHUNKED)
    assert unread_bytes(request.body) == float("inf")
    request.caller.send(chunk(b"x" * 2_000) + LAST_CHUNK)
    assert request.body.read(1_500) == b"x" * 1_500
    assert unread_bytes(request.body) == float("inf")
    assert request.body.read() == b"x" * 500
    assert unread_bytes(request.body) == 0


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.0\r\n\r\n", post(0)])
def test_a_request_without_a_body_has_nothing_left(request_of: Any, head: bytes) -> None:
    assert unread_bytes(request_of(head).body) == 0


def test_where_there_is_no_gunicorn_there_is_nothing_left() -> None:
    assert unread_bytes(object()) == 0
    end_where_unread(object(), lambda *_: None, -1)


@pytest.mark.parametrize(
    ("head", "kept_bytes_max", "ends"),
    [
        (post(KEPT_BYTES_MAX), KEPT_BYTES_MAX, False),
        (post(KEPT_BYTES_MAX + 1), KEPT_BYTES_MAX, True),
        (post(1), 0, True),
        (post(0), 0, False),
        (CHUNKED, KEPT_BYTES_MAX, True),
        (b"GET / HTTP/1.1\r\n\r\n", 0, False),
    ],
)
def test_the_end_of_a_connection_stands_on_start_response_being_bound_to_its_response(
    request_of: Any, head: bytes, kept_bytes_max: int, ends: bool
) -> None:
    """And the head that goes out must say so."""
    request = request_of(head)
    assert request.environ["wsgi.input"] is request.body
    end_where_unread(request.environ["wsgi.input"], request.response.start_response, kept_bytes_max)
    request.response.start_response("401 No", [("Content-Length", "0")])
    request.response.close()
    said = request.caller.until(b"\r\n\r\n").lower()
    assert (b"connection: close" in said, request.response.should_close()) == (ends, ends)


@pytest.mark.parametrize(
    ("length", "is_over", "reads"),
    [(10, False, False), (10, True, True), (KEPT_BYTES_MAX, False, False), (KEPT_BYTES_MAX + 1, False, True)],
)
def test_only_what_stands_before_an_end_is_read_away(request_of: Any, length: int, is_over: bool, reads: bool) -> None:
    """On a kept connection gunicorn does it."""
    request = request_of(post(length))
    sending = gevent.spawn(request.caller.send, b"x" * length)
    assert read_away(request.body, request.sock, is_over) is reads
    assert unread_bytes(request.body) == (0 if reads else length)
    sending.kill()


def test_where_nothing_is_left_the_connection_is_left_alone(request_of: Any) -> None:
    request = request_of(post(0))
    assert read_away(request.body, request.sock, True) is False
    assert request.caller.gets_nothing(0.02)


def test_the_caller_hears_of_the_end_while_it_sends(request_of: Any) -> None:
    """FIN, so that one who listens stops."""
    request = request_of(post(MEBIBYTE))
    reading = gevent.spawn(read_away, request.body, request.sock, True)
    assert request.caller.to_the_end() == b""
    request.caller.close()
    assert reading.get() is True


@pytest.mark.parametrize(
    ("bound", "value", "seconds_min"),
    [("SILENT_SECONDS_MAX", 0.1, 0.1), ("LINGER_SECONDS_MAX", 0.3, 0.3), ("LINGER_BYTES_MAX", 200_000, 0)],
)
def test_nobody_is_read_for_ever(
    request_of: Any, monkeypatch: pytest.MonkeyPatch, bound: str, value: float, seconds_min: float
) -> None:
    monkeypatch.setattr(unread, bound, value)
    request = request_of(CHUNKED)
    pace = {"SILENT_SECONDS_MAX": None, "LINGER_SECONDS_MAX": 0.02, "LINGER_BYTES_MAX": 0.0}[bound]
    sending = gevent.spawn(send_on, request.caller, pace)
    began = time.monotonic()
    read_away(request.body, request.sock, True)
    assert seconds_min <= time.monotonic() - began < 2
    sending.kill()


def send_on(caller: Caller, pace_seconds: float | None) -> None:
    """Chunks for ever; without a pace none."""
    while pace_seconds is not None:
        caller.send(chunk(b"x" * 16_384))
        gevent.sleep(pace_seconds)


@pytest.mark.parametrize("rest", [b"x" * 10, b"zz\r\n"], ids=["too little", "no chunk"])
@pytest.mark.parametrize("leave", [Caller.close, Caller.reset], ids=["close", "reset"])
@pytest.mark.parametrize("head", [post(100), CHUNKED], ids=["length", "chunked"])
def test_a_caller_that_leaves_or_sends_nonsense_ends_it(
    request_of: Any, head: bytes, leave: Callable[[Caller], None], rest: bytes
) -> None:
    request = request_of(head)
    request.caller.send(rest)
    leave(request.caller)
    assert read_away(request.body, request.sock, True) is True


def test_what_comes_without_a_length_is_read_until_the_caller_leaves(request_of: Any) -> None:
    request = request_of(b"GET / HTTP/1.1\r\n\r\n")
    reading = gevent.spawn(read_away_until_closed, request.sock)
    request.caller.send(b"x" * 300_000)
    assert not reading.dead
    request.caller.close()
    reading.get(timeout=2)


def test_a_connection_that_is_closed_already_is_no_failure() -> None:
    near, far = pair()
    near.close()
    far.close()
    read_away_until_closed(far)


@pytest.mark.parametrize("size", [1_000, MEBIBYTE, 5 * MEBIBYTE])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_refusal_arrives_at_a_caller_that_sends_all_first(serving: Serving, size: int, chunked: bool) -> None:
    """With gunicorn's own loop: it closes the connection when the relay lets it."""
    serving.application = refuse
    caller, _ = serving.connect()
    caller.send(CHUNKED + chunk(b"x" * size) + LAST_CHUNK if chunked else post(size) + b"x" * size)
    answer = caller.until(b"refused")
    assert (b"connection: close" in answer.lower()) == (chunked or size > KEPT_BYTES_MAX)
    if b"connection: close" in answer.lower():
        caller.to_the_end()
        caller.close()
        until(lambda: all(greenlet.dead for greenlet in serving.greenlets))


def refuse(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    end_where_unread(environ["wsgi.input"], start_response)
    start_response("401 No", [("Content-Length", "7")])
    return [b"refused"]


def test_a_kept_connection_serves_the_next_request_behind_a_body_that_nobody_read(serving: Serving) -> None:
    serving.application = refuse
    caller, _ = serving.connect()
    for _ in range(3):
        caller.send(post(50_000) + b"GET /smuggled HTTP/1.1\r\n\r\n".ljust(50_000, b"x"))
        caller.until(b"refused")
        assert caller.gets_nothing(0.02)
        caller.forget()


def test_an_answer_that_did_not_say_so_still_ends_a_connection_with_too_much_on_its_way(serving: Serving) -> None:
    """Whatever answered: reading much away for nothing costs more than a new connection."""
    caller, _ = serving.connect()
    caller.send(post(KEPT_BYTES_MAX + 1) + b"x" * (KEPT_BYTES_MAX + 1))
    assert caller.to_the_end().endswith(b"hello")
