"""Tickets in URLs: made for one name, under the prefix of the request, and read before anything else is."""

import time

import flask
import pytest

from config.schema import Server
from relay.core.errors import RelayError
from relay.core.tickets import expiry_of, mint_ticket
from relay.web.tickets import holds_ticket, prefix, url_of
from tests.house import House

NAME = "rs_0123456789012345678901"


def held(house: House, query: str, **headers: str) -> bool:
    with house.app.test_request_context(f"/v1/streams/{NAME}/events{query}", headers=headers):
        return holds_ticket(NAME)


def refused(house: House, query: str) -> str:
    with pytest.raises(RelayError) as caught:
        held(house, query)
    return caught.value.code


def ticket(house: House, name: str = NAME, seconds: float = 60) -> str:
    return mint_ticket(house.relay.secret, name, time.time() + seconds)


def test_a_url_holds_a_ticket_for_as_long_as_the_settings_say(house: House) -> None:
    with house.app.test_request_context("/v1/chat/completions"):
        path, _, made = url_of("streams", NAME).partition("?ticket=")
    expires_at = expiry_of(house.relay.secret, NAME, made)
    assert path == f"/v1/streams/{NAME}/events"
    assert expires_at is not None
    assert abs(expires_at - time.time() - house.relay.settings.resume.ticket_seconds) < 5


def test_a_url_of_another_kind_has_another_path(house: House) -> None:
    with house.app.test_request_context("/process"):
        assert url_of("tasks", "t-1").startswith("/v1/tasks/t-1/events?ticket=")
        assert url_of("tasks", "t-1", "/stream/{name}").startswith("/stream/t-1?ticket=")


def test_a_url_stands_below_the_prefix_under_which_it_was_asked_for(build: object) -> None:
    house: House = build(server=Server(path_prefix="/sse"))  # type: ignore[operator]
    for asked, expected in (("/sse/v1/chat/completions", "/sse"), ("/v1/chat/completions", ""), ("/ssex/v1", "")):
        with house.app.test_request_context(asked):
            assert prefix() == expected
            assert url_of("streams", NAME).startswith(f"{expected}/v1/streams/")


def test_a_genuine_ticket_is_held(house: House) -> None:
    assert held(house, f"?ticket={ticket(house)}")


def test_without_one_or_beside_a_key_none_is_held(house: House) -> None:
    genuine = f"?ticket={ticket(house)}"
    assert not held(house, "")
    assert not held(house, genuine, Authorization="Bearer x")
    assert not held(house, genuine, **{"X-API-Key": "x"})


def test_what_is_no_ticket_for_this_name_is_refused_like_an_unknown_name(house: House) -> None:
    for query in ("?ticket=", "?ticket=x", f"?ticket={ticket(house, NAME[:-1] + '2')}", f"?ticket={ticket(house)}x"):
        assert refused(house, query) == "stream_not_found", query


def test_one_that_has_expired_says_so(house: House) -> None:
    assert refused(house, f"?ticket={ticket(house, seconds=-1)}") == "stream_expired"
    assert refused(house, f"?ticket={ticket(house, NAME[:-1] + '2', seconds=-1)}") == "stream_not_found"


def test_the_secret_is_the_relays_own(house: House) -> None:
    with house.app.app_context():
        assert flask.current_app.extensions["relay"].secret == house.relay.secret
    assert refused(house, f"?ticket={mint_ticket(b'another', NAME, time.time() + 60)}") == "stream_not_found"
