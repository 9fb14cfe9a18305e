"""The exchange as a response: taken over, iterated or without a body, and released in each case."""

from types import SimpleNamespace
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from gunicorn.http.errors import InvalidResponseHeader
from werkzeug.test import EnvironBuilder

from relay.core.body import ByLength
from relay.exchange import Exchange
from relay.pump.departure import CallerGone
from relay.pump.takeover import ALREADY_HANDLED
from relay.web.answer import Answer
from tests.house import ASK, CHAT, STREAM, House
from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import CHUNKED, DONE, answering, chat_frame, chat_stream, json_answer, sse_head, streaming
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import chunk
from tests.web.served import Served, post


class Pump:
    """Fails when it is used, unless `iterate` is replaced."""

    def deliver(self, *arguments: object) -> Any:
        pytest.fail("delivered")

    def iterate(self, exchange: object) -> Any:
        pytest.fail("iterated")


class Held:
    """An exchange that counts how often it was closed."""

    names = ("key_1",)

    def __init__(self, status: int = 200) -> None:
        target = SimpleNamespace(api_key="")
        headers = (("Content-Type", "application/json"),)
        self.upstream = SimpleNamespace(
            status=status, headers=headers, content_type="application/json", decoder=ByLength(5), target=target
        )
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def call(answer: Answer, method: str) -> tuple[list[bytes], list[str]]:
    """The body and the status line."""
    statuses: list[str] = []
    body = answer({"REQUEST_METHOD": method}, lambda status, headers, *rest: statuses.append(status))
    return list(body), statuses


def assert_released(house: House, upstream: ScriptedUpstream) -> None:
    assert house.slots_held() == 0
    until(lambda: upstream.busy == 0, 2.0, "a closed upstream connection")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("HEAD", 404), ("POST", 204), ("GET", 304)])
def test_where_no_body_may_follow_the_exchange_is_closed_at_once(house: House, method: str, status: int) -> None:
    held = Held(status)
    with house.app.test_request_context():
        answer = Answer(Pump(), held, SimpleNamespace(wire=None))  # type: ignore[arg-type]
        assert call(answer, method) == ([], [answer.status])
    assert held.closed == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_passes(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream, status: str
) -> None:
    upstream.answer(answering(f"HTTP/1.1 {status}\r\n\r\n".encode()))
    answer = caller.post(CHAT, json=ASK)
    assert (answer.status_code, answer.data) == (int(status[:3]), b"")
    assert_released(house, upstream)
    assert [line["status"] for line in house.log_lines()] == [int(status[:3])]


def test_an_answer_with_an_empty_body_passes(caller: FlaskClient, house: House, upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"))
    assert caller.post(CHAT, json=ASK).data == b""
    assert_released(house, upstream)


def test_a_socket_is_taken_over_and_the_stream_ends_with_a_last_chunk(
    served: Served, house: House, upstream: ScriptedUpstream
) -> None:
    head, _, body = served.answer(post(CHAT, house.new_key(), STREAM)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert b"".join(chat_stream("Hello", " world")) in _dechunked(body)
    assert body.endswith(b"0\r\n\r\n")
    assert_released(house, upstream)
    (line,) = house.log_lines()
    assert (line["status"], line["end"], line["frames_out"]) == (200, "done", 4)


def test_a_header_that_gunicorn_refuses_releases_the_exchange(
    served: Served, house: House, upstream: ScriptedUpstream
) -> None:
    _add_to_answers(house.app, "a\x01b")
    with pytest.raises(InvalidResponseHeader) as caught:  # kept, so that nothing is released by mere collection
        served.answer(post(CHAT, house.new_key(concurrent=1), STREAM))
    assert_released(house, upstream)
    assert len(house.log_lines()) == 1
    assert caught


def test_a_head_that_was_never_sent_is_not_told_as_a_whole_answer(served: Served, house: House) -> None:
    _add_to_answers(house.app, "a\x01b")
    with pytest.raises(InvalidResponseHeader):
        served.answer(post(CHAT, house.new_key(), STREAM))
    (line,) = house.log_lines()
    assert line["error"] == "internal_error"


def test_a_server_that_refuses_the_head_before_the_iteration_releases_the_exchange(
    house: House, upstream: ScriptedUpstream
) -> None:
    def refuse(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        raise InvalidResponseHeader("X-Test")

    environ = {"HTTP_AUTHORIZATION": f"Bearer {house.new_key()}"}
    environ = EnvironBuilder(CHAT, method="POST", json=STREAM, environ_overrides=environ).get_environ()
    with pytest.raises(InvalidResponseHeader) as caught:
        house.app(environ, refuse)
    assert_released(house, upstream)
    assert caught


def test_a_body_that_cannot_be_iterated_releases_the_exchange(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def iterate(pump: object, exchange: object) -> Any:
        raise OSError("no socket")

    monkeypatch.setattr(type(house.relay.pump), "iterate", iterate)
    with pytest.raises(OSError, match="no socket") as caught:
        caller.post(CHAT, json=STREAM)
    assert_released(house, upstream)
    assert caught


def test_an_iteration_that_is_closed_early_releases_the_exchange(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head(CHUNKED) + chunk(chat_frame("Hel")))
        assert conn.wait_closed(5), "the upstream connection stayed open"

    upstream.answer(script)
    answer = caller.post(CHAT, json=STREAM)
    assert house.slots_held() == 1
    answer.close()
    assert_released(house, upstream)
    assert [line["end"] for line in house.log_lines()] == ["client_gone"]


def test_the_slot_is_free_before_the_caller_reads_the_end(caller: FlaskClient, house: House) -> None:
    chunks = iter(caller.post(CHAT, json=STREAM).response)
    read = b""
    while DONE not in read:
        assert house.slots_held() == 1
        chunk = next(chunks)
        read += chunk.encode() if isinstance(chunk, str) else chunk
    assert house.slots_held() == 0


def test_a_caller_that_left_before_the_answer_is_hung_up_and_told_as_499(
    served: Served, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_(*arguments: object) -> Any:
        raise CallerGone

    monkeypatch.setattr(house.relay.upstreams, "open", open_)
    assert served.answer(post(CHAT, house.new_key(concurrent=1), STREAM)) == b""
    assert house.slots_held() == 0
    assert [(line["status"], line["end"]) for line in house.log_lines()] == [(499, "client_gone")]


def test_what_was_opened_early_goes_on_in_its_wire() -> None:
    calls: list[Any] = []
    pump = SimpleNamespace(deliver=lambda *arguments: calls.append(arguments) or ALREADY_HANDLED)
    presence = SimpleNamespace(wire="the wire", take_pending=lambda: b": pi")
    held = Held()
    with flask.Flask(__name__).test_request_context():
        answer = Answer(pump, held, presence)  # type: ignore[arg-type]
        assert answer({"REQUEST_METHOD": "POST"}, pytest.fail) is ALREADY_HANDLED
    assert calls == [(held, "the wire", b": pi")]


def test_an_upstreams_answer_keeps_its_length(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(json_answer({"a": 1})))
    assert caller.post(CHAT, json=ASK).headers["Content-Length"] == "8"
    upstream.answer(streaming(chat_stream("x")))
    with caller.post(CHAT, json=STREAM) as stream:
        assert "Content-Length" not in stream.headers


def test_an_exchange_is_released_once_whatever_closes_it(caller: FlaskClient, house: House) -> None:
    closed: list[str] = []
    release = Exchange.close
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.relay.gate._slots, "release", lambda key_id, *lease: closed.append(key_id))
        patch.setattr(Exchange, "close", lambda self: (release(self), release(self))[0])
        answer = caller.post(CHAT, json=ASK)
        assert answer.data
        answer.close()
    assert len(closed) == 1


def _add_to_answers(app: flask.Flask, value: str) -> None:
    def add(response: flask.Response) -> flask.Response:
        response.headers["X-Test"] = value
        return response

    app.after_request_funcs.setdefault(None, []).append(add)


def _dechunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data
