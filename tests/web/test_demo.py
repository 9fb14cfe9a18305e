"""The demo page: where it is, whether it is, in which language, and what it may do in a browser."""

import html
import json
import re
from collections.abc import Callable

import pytest

from config.schema import Demo, Server, Upstream
from relay.web.demo import CONTENT_SECURITY_POLICY, LANGUAGES
from relay.web.files import DIRECTORY
from tests.house import House

PAGE = "/demo/"
PAGE_ROUTES = ["/", "/demo/", "/demo", "/demo/demo.js", "/demo/check.js", "/demo/demo.css", "/demo/icon.svg"]
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:|https?://", re.IGNORECASE)


def told(text: str) -> dict[str, object]:
    """What the page's script is told to say."""
    found = re.search(r'data-words="([^"]*)"', text)
    assert found
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize(("path", "location"), [("/", "demo/"), ("/demo", "demo/"), ("/sse/", "demo/")])
def test_the_way_to_the_page_is_relative(build: Callable[..., House], path: str, location: str) -> None:
    """Neither a host that the caller made up nor a prefix that a proxy took off can spoil it."""
    stranger = build(server=Server(path_prefix="/sse")).app.test_client()
    answer = stranger.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers["Location"], answer.data) == (302, location, b"")


@pytest.mark.parametrize("path", [PAGE, "/sse/demo/"])
def test_the_page_is_there_and_names_its_files_from_where_it_is(build: Callable[..., House], path: str) -> None:
    answer = build(server=Server(path_prefix="/sse")).app.test_client().get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert set(re.findall(r'(?:src|href)="([^"]+)"', answer.text)) == {
        "icon.svg",
        "demo.css",
        "demo.js",
        "../relay-client.js",
    }


def test_the_page_may_do_nothing_but_what_it_needs(house: House) -> None:
    headers = house.app.test_client().get(PAGE).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    own = dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'")
    none = dict.fromkeys(("default-src", "frame-ancestors", "base-uri", "form-action", "trusted-types"), "'none'")
    assert policy == {**own, **none, "require-trusted-types-for": "'script'"}
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("path", [PAGE, "/demo/demo.js", "/demo/check.js"])
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(house: House, path: str) -> None:
    assert INLINE.findall(house.app.test_client().get(path).text) == []


def test_the_script_never_makes_markup() -> None:
    script = "".join((DIRECTORY / "demo" / name).read_text() for name in ("demo.js", "check.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|Storage|cookie", script)


@pytest.mark.parametrize(
    ("asked", "language"),
    [("de", "de"), ("de-AT,de;q=0.9,en;q=0.8", "de"), ("en-US,de;q=0.5", "en"), ("fr", "en"), ("", "en")],
)
def test_it_speaks_the_browsers_language(house: House, asked: str, language: str) -> None:
    answer = house.app.test_client().get(PAGE, headers={"Accept-Language": asked})
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.headers.getlist("Vary")
    assert told(answer.text)["start"] == {"de": "🚀 Verarbeitung starten", "en": "🚀 Start"}[language]


def test_both_languages_say_the_same_things() -> None:
    def names(value: object, path: str = "") -> set[str]:
        return {path} if not isinstance(value, dict) else {n for k, v in value.items() for n in names(v, f"{path}/{k}")}

    said = [json.loads((DIRECTORY / f"demo/words.{language}.json").read_text()) for language in LANGUAGES]
    assert names(said[0]) == names(said[1])


def test_who_has_the_page_already_is_told_so(house: House) -> None:
    stranger = house.app.test_client()
    etags = {stranger.get(PAGE, headers={"Accept-Language": asked}).headers["ETag"] for asked in ("de", "en")}
    assert len(etags) == 2
    known = {"If-None-Match": stranger.get(PAGE).headers["ETag"]}
    assert stranger.get(PAGE, headers=known).status_code == 304


def test_its_title_is_the_operators(build: Callable[..., House]) -> None:
    text = build(demo=Demo(title="<b>Ask & see</b>")).app.test_client().get(PAGE).text
    assert "<title>&lt;b&gt;Ask &amp; see&lt;/b&gt;</title>" in text
    assert "<b>" not in text


def test_a_real_upstream_wants_a_key_and_says_why(house: House) -> None:
    text = house.app.test_client().get(PAGE, headers={"Accept-Language": "de"}).text
    assert re.search(r'<input id="key" type="password" required aria-describedby="keyHint" autocomplete="off"', text)
    assert "kosten Geld" in text


def test_the_built_in_demo_wants_none(build: Callable[..., House]) -> None:
    text = build(upstreams=(Upstream(),)).app.test_client().get(PAGE).text
    assert 'id="key"' not in text
    assert re.findall(r'<option value="([^"]+)">', text) == ["demo", "demo-slow"]


def test_it_can_be_switched_off(build: Callable[..., House]) -> None:
    stranger = build(demo=Demo(page=False)).app.test_client()
    answers = [stranger.get(path) for path in PAGE_ROUTES] + [stranger.post("/demo/token")]
    assert {(answer.status_code, answer.get_json()["error"]["code"]) for answer in answers} == {
        (404, "route_not_found")
    }
