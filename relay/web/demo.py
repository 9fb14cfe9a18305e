"""The demo page: one question, its stages, its answer as it comes. It can be switched off (`[demo] page = false`)."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flask

from relay.core.errors import RelayError
from relay.demo.models import LISTED
from relay.web.current import current_relay
from relay.web.errors import language
from relay.web.files import DIRECTORY, File, fresh

LANGUAGES = ("en", "de")
# Nothing inline, nothing from elsewhere, nobody's frame; and no text ever becomes markup (Trusted Types).
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
View = Callable[..., flask.Response]


def blueprint() -> flask.Blueprint:
    """The page and what it is made of. Its token: `demo_tokens`."""
    routes = flask.Blueprint("demo", __name__, template_folder="static/demo")
    views: dict[str, View] = {"/": front, "/demo/": partial(page, _words())}
    views |= {f"/demo/{name}": File(f"demo/{name}") for name in ("demo.css", "demo.js", "check.js", "icon.svg")}
    for path, view in views.items():
        # Flask's own redirect to the slash would name the host that the caller says we have
        is_strict = not path.endswith("/")
        routes.add_url_rule(path, path.replace(".", "-"), where_shown(view), strict_slashes=is_strict)
    return routes


def where_shown(view: View) -> View:
    """The view, as long as there is a page. Raises RelayError route_not_found."""

    def shown(**names: str) -> flask.Response:
        if not current_relay().settings.demo.page:
            raise no_route()
        return view(**names)

    return shown


def no_route() -> RelayError:
    return RelayError("route_not_found", "There is no such route.")


def front() -> flask.Response:
    """On to the page, by a relative path: a proxy may have taken a prefix off."""
    if not flask.request.path.endswith("/"):
        raise no_route()
    return _onwards()


def page(words: Mapping[str, Mapping[str, Any]]) -> flask.Response:
    """The page, in the language that the browser asks for."""
    if not flask.request.path.endswith("/"):
        return _onwards()
    settings = current_relay().settings
    spoken = language()
    say = words[spoken]
    title = settings.demo.title or say["title"]
    models = LISTED if settings.uses_demo else ()
    script = json.dumps(say["page"], ensure_ascii=False)
    text = flask.render_template("index.html", language=spoken, say=say, title=title, models=models, script=script)
    response = fresh(flask.Response(text, headers=HEADERS, content_type="text/html; charset=utf-8"))
    response.headers["Content-Language"] = spoken
    response.headers.add("Vary", "Accept-Language")
    return response


def _onwards() -> flask.Response:
    response = flask.Response(status=302, headers={"Location": "demo/", "Cache-Control": "no-cache"})
    del response.headers["Content-Type"]
    return response


def _words() -> dict[str, dict[str, Any]]:
    """All that the page says, by language."""
    return {name: json.loads((DIRECTORY / f"demo/words.{name}.json").read_text()) for name in LANGUAGES}
