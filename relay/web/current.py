"""What belongs to the request that is being answered."""

from collections.abc import Callable, Iterable
from typing import Any

import flask

_KEY = "relay.start_response"


def current_relay() -> Any:
    """The relay of this application."""
    return flask.current_app.extensions["relay"]


def start_response(environ: dict[str, Any]) -> Callable[..., Any]:
    """The server's start_response, which Flask does not show to a view."""
    return environ[_KEY]  # type: ignore[no-any-return]


def keeping_start_response(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """WSGI middleware that leaves the server's start_response in the environment, for responses that open early.

    A function: an object that is called takes each waiting stream half a kilobyte of the C stack.
    """

    def keeping(environ: dict[str, Any], start_response_: Callable[..., Any]) -> Iterable[bytes]:
        environ[_KEY] = start_response_
        return application(environ, start_response_)

    return keeping
