"""Files that browsers fetch: read once, each with its type and its ETag, asked for again whenever they are used."""

from hashlib import sha256
from pathlib import Path

import flask

DIRECTORY = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
ETAG_CHARACTERS = 32


class File:
    """One file of `static/`. Nothing of the request's goes into its path."""

    def __init__(self, name: str) -> None:
        self._body = (DIRECTORY / name).read_bytes()
        self._type = TYPES[Path(name).suffix]

    def __call__(self) -> flask.Response:
        """The view: 304 for who has it already."""
        return fresh(flask.Response(self._body, content_type=self._type))


def fresh(response: flask.Response) -> flask.Response:
    """The answer, or 304 where the caller has just that (RFC 9110 13.1.2). A new version of the relay is seen at once:
    no cache answers without asking.
    """
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(sha256(response.get_data()).hexdigest()[:ETAG_CHARACTERS])
    response.make_conditional(flask.request)
    return response


def blueprint() -> flask.Blueprint:
    """What is served whether or not there is a demo page."""
    routes = flask.Blueprint("files", __name__)
    for name in ("relay-client.js", "openapi.json"):
        routes.add_url_rule(f"/{name}", name.replace(".", "-"), File(name))
    return routes
