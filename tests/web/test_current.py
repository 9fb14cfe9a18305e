"""What belongs to the request that is being answered."""

from types import SimpleNamespace
from typing import Any

import flask
import pytest

from relay.web.current import current_relay, keeping_start_response, start_response


def test_the_relay_is_the_applications_own() -> None:
    apps = [flask.Flask("one"), flask.Flask("two")]
    for app in apps:
        app.extensions["relay"] = SimpleNamespace(name=app.name)
    for app in apps:
        with app.app_context():
            assert current_relay().name == app.name


def test_outside_of_a_request_there_is_none() -> None:
    with pytest.raises(RuntimeError):
        current_relay()


def test_the_servers_start_response_is_kept_for_whoever_opens_early() -> None:
    seen: list[Any] = []

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.append((start_response(environ), start))
        return [b"body"]

    def servers(*arguments: object) -> None:
        pytest.fail("nobody called it yet")

    assert keeping_start_response(application)({}, servers) == [b"body"]
    assert seen == [(servers, servers)]
