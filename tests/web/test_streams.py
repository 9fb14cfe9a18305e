"""The routes of kept streams, as far as no socket is needed; over sockets: tests/live/test_streams_*.py."""

import json

import pytest
from flask.testing import FlaskClient

from relay.core.errors import RelayError
from relay.streams.streams import Streams
from tests.house import CHAT, STREAM, House
from tests.live.bench.scripts import chat_stream, streaming
from tests.live.bench.upstream import ScriptedUpstream

SAID = chat_stream("Hello", " world")
UNKNOWN = "rs_0123456789012345678901"


@pytest.fixture(autouse=True)
def says(upstream: ScriptedUpstream) -> None:
    upstream.answer(streaming(SAID))


@pytest.fixture
def kept(caller: FlaskClient) -> tuple[str, str]:
    """The path of a stream that is over, and its URL with a ticket."""
    response = caller.post(CHAT, json=STREAM, headers={"Relay-Resume": "1"})
    assert response.data  # to its end
    headers = response.headers
    return f"/v1/streams/{headers['Relay-Stream-Id']}", headers["Relay-Stream-Url"]


def code(response: object) -> str:
    return str(json.loads(response.data)["error"]["code"])  # type: ignore[attr-defined]


def test_a_state_is_json_that_no_cache_keeps(caller: FlaskClient, kept: tuple[str, str]) -> None:
    response = caller.get(kept[0])
    facts = json.loads(response.data)
    assert set(facts) == {"id", "status", "model", "last_seq", "usage", "error", "text", "expires_at"}
    assert (facts["status"], facts["last_seq"], facts["text"]) == ("done", len(SAID), "Hello world")
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "after"),
    [("", 0), ("?starting_after=0", 0), ("?starting_after=2", 2), ("?starting_after=00003", 3)],
)
def test_events_begin_behind_a_number(caller: FlaskClient, kept: tuple[str, str], query: str, after: int) -> None:
    body = caller.get(f"{kept[0]}/events{query}").data
    assert body.count(b"\n\n") == len(SAID) - after
    assert body.startswith(f"id: {kept[0].rpartition('/')[2]}:{after + 1}\n".encode())


def test_the_header_that_a_browser_sends_comes_before_the_query(caller: FlaskClient, kept: tuple[str, str]) -> None:
    name = kept[0].rpartition("/")[2]
    response = caller.get(
        f"{kept[0]}/events?last_event_id={name}:1&starting_after=1", headers={"Last-Event-ID": f"{name}:3"}
    )
    assert response.data.count(b"\n\n") == len(SAID) - 3
    response = caller.get(f"{kept[0]}/events?last_event_id={name}:2&starting_after=1")
    assert response.data.count(b"\n\n") == len(SAID) - 2


@pytest.mark.parametrize("after", [len(SAID), len(SAID) + 9])
def test_who_has_all_is_told_so(caller: FlaskClient, kept: tuple[str, str], after: int) -> None:
    assert caller.get(f"{kept[0]}/events?starting_after={after}").status_code == 204


NO_PLACES = (
    *("?starting_after=x", "?starting_after=", "?starting_after=1e3", "?starting_after=٣"),
    *("?starting_after=9999999999999", "?last_event_id=7", f"?last_event_id={UNKNOWN}:1"),
)


@pytest.mark.parametrize("query", NO_PLACES)
def test_a_place_that_is_none_is_refused(caller: FlaskClient, kept: tuple[str, str], query: str) -> None:
    response = caller.get(f"{kept[0]}/events{query}")
    assert (response.status_code, code(response)) == (400, "invalid_request")


@pytest.fixture(params=["draining", "overloaded", "rate_limit_exceeded", "stream_not_found"])
def refusal(request: pytest.FixtureRequest, kept: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """With which looking for the stream ends."""

    def refuse(*_: object) -> None:
        raise RelayError(request.param, "No.")

    monkeypatch.setattr(Streams, "find", refuse)
    return str(request.param)


def test_a_ticket_is_told_when_to_come_back(house: House, kept: tuple[str, str], refusal: str) -> None:
    response = house.app.test_client().get(kept[1])
    if refusal == "stream_not_found":
        assert (response.status_code, code(response)) == (404, refusal)
    else:
        assert (response.status_code, response.data) == (200, b"retry: 5000\n\n")
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"


def test_a_key_is_refused(caller: FlaskClient, kept: tuple[str, str], refusal: str) -> None:
    response = caller.get(f"{kept[0]}/events")
    assert (response.status_code, code(response)) == (RelayError(refusal, "").kind.status, refusal)


def test_while_the_relay_drains_a_ticket_is_told_when_to_come_back(house: House, kept: tuple[str, str]) -> None:
    house.relay.lifecycle.closed = True
    response = house.app.test_client().get(kept[1])
    assert (response.status_code, response.data) == (200, b"retry: 5000\n\n")
    house.relay.lifecycle.closed = False


def test_other_methods_are_told_which_there_are(caller: FlaskClient, kept: tuple[str, str]) -> None:
    assert caller.put(kept[0]).status_code == 405
    assert set((caller.put(kept[0]).headers["Allow"]).split(", ")) >= {"GET", "DELETE"}
    assert caller.get(f"{kept[0]}/cancel").status_code == 405


def test_a_forgotten_stream_is_unknown(caller: FlaskClient, kept: tuple[str, str]) -> None:
    assert caller.delete(kept[0]).status_code == 204
    for response in (caller.get(kept[0]), caller.delete(kept[0]), caller.get(kept[1])):
        assert (response.status_code, code(response)) == (404, "stream_not_found")
