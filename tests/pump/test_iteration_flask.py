"""The whole application where there is no socket to take over: Flask's test client in front, an upstream behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient

from config.settings import load
from relay.core.keys import KeyPolicy
from relay.logs import Log
from relay.pump.iteration import Truncated
from relay.stores.database import open_database
from relay.stores.keys import KeyStore
from relay.web import create_app
from tests.pump.outcomes import told
from tests.pump.partners import DONE, LAST_CHUNK, STREAM_HEAD, Answering, Upstream, chunk, frame

ASK = {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "messages": []}
CHAT = "/v1/chat/completions"


@pytest.fixture
def nothing_left() -> None:
    """The application keeps its threads and its database; the slot shows whether anything of a request is left."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream(None)
    yield made
    made.close()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The log."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(Log, "write", lambda log, **fields: written.append(fields))
    return written


@pytest.fixture
def client(upstream: Upstream, tmp_path: Path, lines: list[dict[str, Any]]) -> Iterator[FlaskClient]:
    """Sends the only key, which has one slot."""
    url = f"sqlite:///{tmp_path}/relay.db"
    database = open_database(url)
    database.create_tables()
    _, key = KeyStore(database).create("test", KeyPolicy(rpm=1000, concurrent=1))
    database.close()
    app = create_app(
        load(
            {
                "OPENAI_API_KEY": "sk-test",
                "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1",
                "DATABASE_URL": url,
                "RELAY_STREAM__IDLE_SECONDS_MAX": "1",
            }
        )
    )
    made = app.test_client()
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    yield made
    relay = app.extensions["relay"]
    relay.stop()
    relay.authenticator._keys._database.close()


@pytest.fixture
def ask(client: FlaskClient, upstream: Upstream) -> Callable[[bytes], tuple[Any, Answering]]:
    """ask(sent): the response, whose body is still to be read, and the upstream's connection, which said `sent`."""

    def begin(sent: bytes) -> tuple[Any, Answering]:
        answer = gevent.spawn(client.post, CHAT, json=ASK)
        connection = upstream.next()
        connection.send(sent)
        return answer.get(timeout=5), connection

    return begin


def test_a_stream_passes_and_its_only_slot_is_free_when_its_end_is_read(ask: Any) -> None:
    for number in range(5):
        response, _ = ask(STREAM_HEAD + chunk(frame(str(number))) + chunk(DONE) + LAST_CHUNK)
        body = response.iter_encoded()
        assert (response.status_code, next(body)) == (200, frame(str(number)))
        assert next(body) == DONE  # and the next request is made before this response is closed


def test_the_head_is_that_of_an_event_stream(ask: Any) -> None:
    response, _ = ask(STREAM_HEAD + chunk(DONE) + LAST_CHUNK)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["X-Request-Id"]
    assert "Content-Length" not in response.headers
    assert response.data == DONE


def test_the_only_slot_is_taken_while_a_stream_is_read(ask: Any, client: FlaskClient) -> None:
    response, connection = ask(STREAM_HEAD + chunk(frame("a")))
    body = response.iter_encoded()
    next(body)
    assert client.post(CHAT, json=ASK).status_code == 429
    connection.finish()
    assert b"".join(body) == DONE


def test_a_stream_has_one_line_in_the_log(ask: Any, lines: list[dict[str, Any]]) -> None:
    response, _ = ask(STREAM_HEAD + chunk(frame("a")) + chunk(DONE) + LAST_CHUNK)
    assert response.data == frame("a") + DONE
    response.close()
    assert [(line["end"], line["frames_out"], line["bytes_out"]) for line in lines] == [("done", 2, len(response.data))]


@pytest.mark.parametrize("frames", [0, 1])
def test_a_response_that_is_closed_early_frees_the_slot_and_the_upstream(
    ask: Any, lines: list[dict[str, Any]], frames: int
) -> None:
    response, connection = ask(STREAM_HEAD + chunk(frame("a")))
    body = response.iter_encoded()
    for _ in range(frames):
        next(body)
    response.close()
    assert [line["end"] for line in lines] == ["client_gone"]
    assert connection.sees_the_other_leave(0.5)
    again, _ = ask(STREAM_HEAD + chunk(DONE) + LAST_CHUNK)
    assert again.data == DONE


def test_a_cut_stream_is_told_and_raises_into_the_server(ask: Any) -> None:
    response, connection = ask(STREAM_HEAD + chunk(frame("a")))
    connection.close()
    got = []
    with pytest.raises(Truncated):
        got.extend(response.iter_encoded())
    assert told(b"".join(got)) == "upstream_incomplete"
    assert ask(STREAM_HEAD + chunk(DONE) + LAST_CHUNK)[0].data == DONE


def test_a_json_answer_keeps_its_type_and_length(ask: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    response, _ = ask(head + b'{"a": 10}')
    assert (response.json, response.headers["Content-Length"]) == ({"a": 10}, "9")


def test_a_reset_right_behind_the_head_frees_the_slot(
    client: FlaskClient, upstream: Upstream, loop_failures: list[str], ask: Any
) -> None:
    answer = gevent.spawn(client.post, CHAT, json=ASK)
    connection = upstream.next()
    connection.send(STREAM_HEAD)
    connection.reset()
    response = answer.get(timeout=5)
    with pytest.raises(Truncated):
        list(response.iter_encoded())
    assert ask(STREAM_HEAD + chunk(DONE) + LAST_CHUNK)[0].data == DONE
