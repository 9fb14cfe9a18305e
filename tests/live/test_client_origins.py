"""relay-client.js in a page of another origin: CORS, a dead server and a broken connection are told apart."""

from collections.abc import Iterator

import pytest

from tests.live.bench.browser import Browser
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.page_server import PageServer
from tests.live.bench.ports import free_port
from tests.live.bench.scripts import every_request
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.client_scene import Scene
from tests.live.scripted_relay import STREAM, TEXTS, Telling, answer_of, hanging_up, in_order, saying, without_cors

pytest_plugins = ["tests.live.shared_client"]

ALL = answer_of()
WHOLE = Telling(ALL)


def kind(scene: Scene) -> tuple[str, str]:
    seen = scene.read()
    assert (seen["state"], seen["texts"]) == ("failed", [])
    return seen["error"]["kind"], seen["error"]["code"]


def test_a_relay_that_does_not_list_the_origin_is_told_as_cors(in_chromium: Scene) -> None:
    in_chromium.relay(WHOLE)
    in_chromium.server.answer(every_request(without_cors(in_order(WHOLE))))
    assert kind(in_chromium) == ("cors", "cors_refused")
    assert in_chromium.asked("POST") == []


def test_a_relay_that_is_not_there_is_told_as_the_network(in_chromium: Scene) -> None:
    in_chromium.call("client", baseUrl=f"http://127.0.0.1:{free_port()}")
    assert kind(in_chromium) == ("network", "connection_lost")


def test_a_connection_that_breaks_is_told_as_the_network(in_chromium: Scene) -> None:
    assert kind(in_chromium.relay(hanging_up)) == ("network", "connection_lost")


def test_a_proxys_page_without_cors_is_told_as_the_network(in_chromium: Scene) -> None:
    """It cannot be read, but CORS is in order where it counts, at the relay."""
    assert kind(in_chromium.relay(without_cors(saying("502 Bad Gateway")))) == ("network", "connection_lost")


def test_a_place_to_come_back_to_that_the_page_may_not_read_is_none(in_chromium: Scene) -> None:
    hidden = Telling(ALL, 2, headers=(f"Hidden-Stream-Id: {STREAM}", "Hidden-Stream-Url: /x"))
    seen = in_chromium.relay(hidden).read()
    assert (seen["error"]["kind"], seen["texts"], seen["url"]) == ("truncated", TEXTS[:2], "")
    assert in_chromium.asked("GET") == []


def test_coming_back_to_a_relay_that_has_unlisted_the_origin_is_told_as_cors(in_chromium: Scene) -> None:
    listed, unlisted = in_order(Telling(ALL, 2)), without_cors(in_order(WHOLE))
    answers = [listed, unlisted]

    def answer(conn: Connection, request: Request) -> None:
        now = answers[0]
        if request.method == "POST":
            del answers[0]
        now(conn, request)

    in_chromium.relay(WHOLE)
    in_chromium.server.answer(every_request(answer))
    seen = in_chromium.read()
    assert (seen["error"]["kind"], seen["texts"]) == ("cors", TEXTS[:2])
    assert len(in_chromium.asked("POST")) == 1


@pytest.mark.parametrize("prefix", ["", "/sse"])
def test_served_by_the_relay_the_client_knows_where_that_is(in_chromium: Scene, prefix: str) -> None:
    in_chromium.relay(WHOLE)
    in_chromium.call("clientFrom", url=f"{in_chromium.base_url}{prefix}/relay-client.js")
    assert in_chromium.read()["texts"] == TEXTS
    (post,) = in_chromium.asked("POST")
    assert (post.path, post.header("authorization")) == (f"{prefix}/v1/chat/completions", None)


def test_a_prefix_in_the_address_is_kept(in_chromium: Scene) -> None:
    in_chromium.relay(WHOLE, baseUrl=f"{in_chromium.base_url}/sse/").read()
    assert [post.path for post in in_chromium.asked("POST")] == ["/sse/v1/chat/completions"]


@pytest.fixture
def insecure(browser: Browser, pages: PageServer, upstream: ScriptedUpstream) -> Iterator[Scene]:
    """A page that is neither on this machine nor behind TLS."""
    tab = browser.open(pages.origin("app.example") + "/client.html")
    yield Scene(tab, upstream)
    tab.close()


def test_a_page_without_tls_has_keys_too(insecure: Scene) -> None:
    assert insecure.call("isSecure") is False
    insecure.relay(WHOLE)
    assert [insecure.read()["texts"] for _ in range(2)] == [TEXTS] * 2
    keys = {post.header("idempotency-key") or "" for post in insecure.asked("POST")}
    assert len(keys) == 2 and min(map(len, keys)) >= 22
