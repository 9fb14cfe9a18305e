"""Files for browsers: their types, and what a browser that has them already is told."""

from collections.abc import Callable

import pytest

from config.schema import Cors, Demo, Server
from relay.web.files import DIRECTORY
from tests.house import House

SERVED = {
    "/relay-client.js": ("relay-client.js", "text/javascript; charset=utf-8"),
    "/openapi.json": ("openapi.json", "application/json"),
    "/demo/demo.js": ("demo/demo.js", "text/javascript; charset=utf-8"),
    "/demo/check.js": ("demo/check.js", "text/javascript; charset=utf-8"),
    "/demo/demo.css": ("demo/demo.css", "text/css; charset=utf-8"),
    "/demo/icon.svg": ("demo/icon.svg", "image/svg+xml"),
}
each_file = pytest.mark.parametrize("path", SERVED)


@each_file
def test_a_file_is_served_whole_with_its_type_and_without_a_key(house: House, path: str) -> None:
    name, content_type = SERVED[path]
    answer = house.app.test_client().get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.data == (DIRECTORY / name).read_bytes()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@each_file
def test_who_has_it_already_is_told_so_and_who_has_another_gets_it(house: House, path: str) -> None:
    stranger = house.app.test_client()
    first = stranger.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = stranger.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert stranger.get(path, headers={"If-None-Match": '"another"'}).data == first.data


@each_file
def test_head_tells_the_length_alone(house: House, path: str) -> None:
    answer = house.app.test_client().head(path)
    length = (DIRECTORY / SERVED[path][0]).stat().st_size
    assert (answer.data, answer.headers["Content-Length"]) == (b"", str(length))


def test_no_other_file_is_served(house: House) -> None:
    """Nor is anything of the request made into a path."""
    stranger = house.app.test_client()
    others = ["index.html", "words.de.json", "..%2fdemo%2findex.html", "%2e%2e/relay-client.d.ts", "demo.js/", "x"]
    assert {stranger.get(f"/demo/{name}").status_code for name in others} == {404}
    assert stranger.get("/relay-client.d.ts").status_code == 404


def test_the_client_is_there_without_a_demo_page_and_below_a_prefix(build: Callable[..., House]) -> None:
    stranger = build(demo=Demo(page=False), server=Server(path_prefix="/sse")).app.test_client()
    answers = [stranger.get(prefix + path) for prefix in ("", "/sse") for path in ("/relay-client.js", "/openapi.json")]
    assert [answer.status_code for answer in answers] == [200] * 4


def test_a_page_of_a_listed_origin_may_load_the_client_and_another_may_not(build: Callable[..., House]) -> None:
    stranger = build(cors=Cors(origins=("https://app.example",))).app.test_client()
    listed = stranger.get("/relay-client.js", headers={"Origin": "https://app.example"})
    assert listed.headers["Access-Control-Allow-Origin"] == "https://app.example"
    other = stranger.get("/relay-client.js", headers={"Origin": "https://other.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
