"""H1, H2, H3, H8, H12 in a real Chromium: pages of other names read nothing, the listed ones all they may."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests.live.bench.browser import Tab
from tests.live.bench.page_server import PageServer
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import chat_stream
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import ASK, CHAT, STREAM, Owed, nothing_left
from tests.live.conftest import SHORT_LIMITS

pytest_plugins = ["tests.live.shared_browser"]

PAGE = "/plain.html"
LISTED = ["127.0.0.1", "app.example"]
HOSTILE = [
    "evil.example",
    "app.example.evil.net",
    "evil-app.example",
    "sub.app.example",
    "app.example.",
    "äpp.example",
    "localhost",
]
REFUSED = "TypeError"
ALLOWED_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "text/event-stream",
    "Cache-Control": "no-cache",
    "Last-Event-ID": "1",
    "Relay-Resume": "0",
    "X-Request-Id": "from-a-page-1",
    "OpenAI-Beta": "a",
    "anthropic-version": "b",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-stainless-os": "Unknown",
}
OTHER_HEADERS = ["X-Evil", "OpenAIEvil", "X-Forwarded-For", "X-HTTP-Method-Override"]
Fetch = dict[str, Any]


class Fetches(NamedTuple):
    """What a browser sends at once, so without a key, and what it asks for by a preflight first."""

    simple: Fetch
    keyed: Fetch


@pytest.fixture(scope="module")
def relay(
    module_upstream: ScriptedUpstream, pages: PageServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RelayProcess]:
    environ = {
        **SHORT_LIMITS,
        "RELAY_CORS__ORIGINS": json.dumps([pages.origin(host) for host in LISTED]),
        "RELAY_SERVER__TRUSTED_HOSTS": '["127.0.0.1"]',
        "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000",
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.fixture
def open_page(open_tab: Callable[[str], Tab], pages: PageServer) -> Callable[[str], Tab]:
    """open_page("evil.example"): a page under this name."""
    return lambda host: open_tab(pages.origin(host) + PAGE)


@pytest.fixture
def listed(open_page: Callable[[str], Tab]) -> Tab:
    return open_page(LISTED[0])


@pytest.fixture
def fetches(relay: RelayProcess, key: str) -> Fetches:
    url = f"{relay.base_url}/models"
    return Fetches({"url": url}, {"url": url, "headers": {"Authorization": f"Bearer {key}"}})


@pytest.mark.parametrize("host", LISTED)
def test_a_listed_page_reads_refusals_and_answers(
    open_page: Callable[[str], Tab], fetches: Fetches, owed: Owed, host: str
) -> None:
    tab = open_page(host)
    owed.requests = 3
    refusal, answer = (tab.call("attempt", **fetch) for fetch in fetches)
    assert (refusal["status"], json.loads(refusal["body"])["error"]["code"]) == (401, "missing_credentials")
    assert (answer["status"], json.loads(answer["body"])["object"]) == (200, "list")
    assert_arrived(owed, tab.call("origin"), [401, 204, 200])


@pytest.mark.parametrize("host", HOSTILE)
def test_a_page_of_another_name_reads_nothing(
    open_page: Callable[[str], Tab], upstream: ScriptedUpstream, fetches: Fetches, owed: Owed, host: str
) -> None:
    tab = open_page(host)
    owed.requests = 3
    assert [tab.call("attempt", **fetch) for fetch in fetches] == [REFUSED] * 2
    opaque = tab.call("attempt", **fetches.simple, mode="no-cors")
    assert opaque == {"type": "opaque", "status": 0, "headers": {}, "body": ""}
    assert_arrived(owed, tab.call("origin"), [401, 204])
    assert upstream.requests == []


def test_a_page_on_another_port_reads_nothing(open_tab: Callable[[str], Tab], fetches: Fetches, owed: Owed) -> None:
    elsewhere = PageServer().start()
    try:
        tab = open_tab(elsewhere.origin() + PAGE)
    finally:
        elsewhere.stop()
    owed.requests = 2
    assert [tab.call("attempt", **fetch) for fetch in fetches] == [REFUSED] * 2
    assert_arrived(owed, elsewhere.origin(), [401, 204])


@pytest.mark.parametrize("way", ["sandbox", "data"])
def test_a_frame_of_nobodys_reads_nothing_even_in_a_listed_page(
    listed: Tab, upstream: ScriptedUpstream, fetches: Fetches, owed: Owed, way: str
) -> None:
    owed.requests = 2
    for fetch in fetches:
        assert listed.call("attemptAsNobody", **fetch, way=way) == {"origin": "null", "seen": REFUSED}
    assert_arrived(owed, "null", [401, 204])
    assert upstream.requests == []


def test_a_key_may_be_bound_to_fewer_pages_which_the_others_are_told(
    open_page: Callable[[str], Tab], pages: PageServer, relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed
) -> None:
    bound = relay.create_key("bound-to-a-page", origin=[pages.origin("app.example")])
    asked = {"url": f"{relay.base_url}/models", "headers": {"X-API-Key": bound}}
    owed.requests = 4
    told = open_page("127.0.0.1").call("attempt", **asked)
    assert (told["status"], json.loads(told["body"])["error"]["code"]) == (403, "origin_not_allowed")
    assert upstream.requests == []
    assert open_page("app.example").call("attempt", **asked)["status"] == 200


def test_no_page_may_send_its_cookies_along(listed: Tab, upstream: ScriptedUpstream, fetches: Fetches) -> None:
    assert listed.call("attempt", **fetches.keyed, credentials="include") == REFUSED
    assert upstream.requests == []


def test_every_header_that_the_clients_send_may_be_sent(
    listed: Tab, relay: RelayProcess, upstream: ScriptedUpstream, key: str, owed: Owed
) -> None:
    owed.requests = 2
    headers = {**ALLOWED_HEADERS, "Authorization": f"Bearer {key}", "X-API-Key": key}
    pieces = listed.call("pieces", url=relay.base_url + "/chat/completions", **post(STREAM, headers))
    assert "".join(pieces).encode() == b"".join(chat_stream("Hello", " world"))
    assert owed.line(1)["request_id"] == "from-a-page-1"
    assert upstream.requests[0].header("openai-beta") == "a"


def test_another_header_may_not_be_sent(listed: Tab, fetches: Fetches, upstream: ScriptedUpstream, owed: Owed) -> None:
    owed.requests = len(OTHER_HEADERS)
    for name in OTHER_HEADERS:
        headers = {**fetches.keyed["headers"], name: "x"}
        assert listed.call("attempt", url=fetches.keyed["url"], headers=headers) == REFUSED, name
    assert upstream.requests == []


def test_only_the_listed_methods_may_be_used(listed: Tab, fetches: Fetches, owed: Owed) -> None:
    owed.requests = 3
    assert listed.call("attempt", **fetches.keyed, method="DELETE")["status"] == 405
    assert listed.call("attempt", **fetches.keyed, method="PUT") == REFUSED


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_a_forms_text_starts_nothing_and_is_not_read(
    open_page: Callable[[str], Tab], relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed, host: str
) -> None:
    tab = open_page(host)
    url = f"http://127.0.0.1:{relay.port}{CHAT}"
    assert tab.call("submitForm", url=url, text=json.dumps(ASK)) == "unreadable"
    assert owed.line()["status"] == 401
    assert upstream.received == b""


def test_a_name_that_was_made_to_lead_here_is_not_served(
    listed: Tab, relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed
) -> None:
    owed.requests = None  # Chromium may ask for an icon too
    assert listed.go(f"http://rebound.example:{relay.port}/v1/models") == 421
    assert upstream.received == b""


def post(value: object, headers: dict[str, str]) -> Fetch:
    return {"method": "POST", "body": json.dumps(value), "headers": headers}


def assert_arrived(owed: Owed, origin: str, statuses: list[int]) -> None:
    """From this origin, answered so: nothing else of the browser's had held the requests back."""
    lines = [owed.line(number) for number in range(len(statuses))]
    assert [(line["origin"], line["status"]) for line in lines] == [(origin, status) for status in statuses]
