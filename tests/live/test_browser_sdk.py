"""The openai SDK in a page of another origin, in a real Chromium: it streams, leaves, and reads every refusal."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.live.bench.browser import Tab
from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.page_server import PageServer
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import answering, chat_frame, chat_stream, error_answer, every_request, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import ONE, Owed, ask, assert_within, in_silence, nothing_left
from tests.live.conftest import SHORT_LIMITS

pytest_plugins = ["tests.live.shared_browser"]

LEAVING_SECONDS_MAX = 1.0
SEEN_SECONDS_MAX = 10.0
BREAKS = 20
TEXTS = ["Hel", "lo ", "wörld ", "\N{GRINNING FACE}", "\u2028 end"]
LIMIT_HEADERS = {
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "ratelimit",
    "ratelimit-policy",
}
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def relay(
    module_upstream: ScriptedUpstream, pages: PageServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RelayProcess]:
    environ = {**SHORT_LIMITS, "RELAY_CORS__ORIGINS": json.dumps([pages.origin()])}
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    """A page owes two log lines for its first request: the preflight's and its own."""
    with nothing_left(relay, upstream) as owed:
        owed.requests = 2
        yield owed


@pytest.fixture
def tab(open_tab: Callable[[str], Tab], pages: PageServer) -> Tab:
    return open_tab(pages.origin() + "/sdk.html")


@pytest.fixture
def call(tab: Tab, relay: RelayProcess, key: str) -> Call:
    """call("stream"): what the page saw of it, with the relay and, unless told, the key of this module."""
    return lambda name, apiKey=key: tab.call(name, baseURL=relay.base_url, apiKey=apiKey)


def test_each_chunk_of_a_stream_is_read_before_the_next_is_sent(
    upstream: ScriptedUpstream, tab: Tab, relay: RelayProcess, key: str
) -> None:
    go_on = threading.Semaphore(0)
    upstream.answer(every_request(lambda conn, _: say_in_steps(conn, go_on)))
    page = tab.start("stream", baseURL=relay.base_url, apiKey=key)
    for count in range(1, len(TEXTS) + 1):
        go_on.release()
        until(lambda count=count: len(tab.call("texts")) >= count, SEEN_SECONDS_MAX, f"the page's text {count}")
        assert tab.call("texts") == TEXTS[:count]
    go_on.release()
    assert page.result(SEEN_SECONDS_MAX)["texts"] == [*TEXTS, ""]


def test_an_aborted_stream_ends_the_upstream_at_once(
    upstream: ScriptedUpstream, tab: Tab, relay: RelayProcess, key: str
) -> None:
    page = started(upstream, tab, relay, key)
    since = time.monotonic()
    tab.call("abort")
    assert_within(LEAVING_SECONDS_MAX, since, upstream.wait_for_peer_close())
    assert page.result(SEEN_SECONDS_MAX)["texts"] == ["one"]


@pytest.mark.parametrize("leave", [Tab.close, lambda tab: tab.go("about:blank")], ids=["closed", "left"])
def test_a_page_that_goes_away_ends_the_upstream_at_once(
    upstream: ScriptedUpstream, tab: Tab, relay: RelayProcess, key: str, leave: Callable[[Tab], object]
) -> None:
    page = started(upstream, tab, relay, key)
    since = time.monotonic()
    leave(tab)
    assert_within(LEAVING_SECONDS_MAX, since, upstream.wait_for_peer_close())
    assert page.exception(SEEN_SECONDS_MAX) is not None


def test_an_answer_its_name_and_its_limits_are_read(call: Call, owed: Owed) -> None:
    seen = call("completion")
    assert seen["text"] == "Hello world"
    assert seen["requestId"] == owed.line(1)["request_id"]
    assert set(seen["headers"]) >= LIMIT_HEADERS
    assert seen["headers"]["x-ratelimit-limit-requests"] == "1000000"


def test_a_streams_limits_are_read(call: Call, owed: Owed) -> None:
    seen = call("stream")
    assert seen["texts"] == ["Hello", " world", ""]
    assert set(seen["headers"]) >= LIMIT_HEADERS
    assert seen["headers"]["x-request-id"] == owed.line(1)["request_id"]


def test_a_wrong_key_is_told_as_such(call: Call, owed: Owed, upstream: ScriptedUpstream) -> None:
    owed.requests = 3
    for number, name in enumerate(["completion", "stream"], 1):
        seen = call(name, apiKey="rk_" + "x" * 38)
        assert (seen["raised"], seen["status"], seen["code"]) == ("AuthenticationError", 401, "invalid_api_key")
        assert seen["message"].startswith("401 ")
        assert seen["requestId"] == owed.line(number)["request_id"]
        assert seen["headers"]["relay-error-source"] == "relay"
    assert upstream.requests == []


def test_a_full_minute_is_told_with_the_time_to_wait(call: Call, relay: RelayProcess, owed: Owed) -> None:
    minute = relay.create_key("browser-minute", rpm=1)
    assert call("completion", apiKey=minute)["headers"]["x-ratelimit-remaining-requests"] == "0"
    seen = call("stream", apiKey=minute)
    owed.requests = 3
    assert (seen["raised"], seen["status"], seen["code"]) == ("RateLimitError", 429, "rate_limit_exceeded")
    assert_says_when(seen["headers"])
    assert set(seen["headers"]) >= LIMIT_HEADERS
    assert seen["headers"]["x-ratelimit-remaining-requests"] == "0"


def test_a_taken_slot_is_told_with_the_time_to_wait(
    upstream: ScriptedUpstream, call: Call, relay: RelayProcess, owed: Owed
) -> None:
    slot = relay.create_key("browser-slot", concurrent=1)
    upstream.answer(in_silence)
    owed.requests = 3
    with RawCaller(relay.port, key=slot) as holder:
        assert ask(holder).status == 200
        seen = call("stream", apiKey=slot)
    assert (seen["raised"], seen["status"], seen["code"]) == ("RateLimitError", 429, "too_many_streams")
    assert_says_when(seen["headers"])


def test_the_upstreams_own_error_is_read_and_known_as_its_own(
    upstream: ScriptedUpstream, call: Call, owed: Owed
) -> None:
    owed.requests = 3
    upstream.answer(answering(error_answer("500 Oops", "its_own", "Retry-After: 7")))
    for name in ("completion", "stream"):
        seen = call(name)
        assert (seen["raised"], seen["status"], seen["code"]) == ("InternalServerError", 500, "its_own")
        assert seen["message"] == "500 the upstream says its_own"
        assert seen["headers"]["relay-error-source"] == "upstream"
        assert seen["headers"]["retry-after"] == "7"


def test_an_upstream_that_makes_no_sense_is_told_and_not_to_be_asked_again(
    upstream: ScriptedUpstream, call: Call
) -> None:
    upstream.answer(answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"))
    seen = call("completion")
    assert (seen["status"], seen["code"]) == (502, "upstream_redirect")
    assert seen["headers"]["x-should-retry"] == "false"


def test_a_broken_stream_raises_with_its_code_after_what_came(
    upstream: ScriptedUpstream, call: Call, owed: Owed
) -> None:
    """Each time: Chromium forgets what a page has not read yet when the connection breaks off close behind it."""
    owed.requests = 1 + BREAKS
    upstream.answer(break_off)
    broken = [call("stream") for _ in range(BREAKS)]
    told = [(seen["raised"], seen["code"], seen["texts"]) for seen in broken]
    assert told == [("APIError", "upstream_incomplete", ["one"])] * BREAKS


def test_a_preflight_is_remembered(call: Call, owed: Owed, upstream: ScriptedUpstream) -> None:
    for _ in range(3):
        assert call("completion")["text"] == "Hello world"
    owed.requests = 4
    assert [owed.line(number)["status"] for number in range(4)] == [204, 200, 200, 200]
    assert [request.method for request in upstream.requests] == ["POST"] * 3


def started(upstream: ScriptedUpstream, tab: Tab, relay: RelayProcess, key: str) -> Any:
    """A stream of which the page has read one chunk, and no more comes."""
    upstream.answer(in_silence)
    page = tab.start("stream", baseURL=relay.base_url, apiKey=key)
    until(lambda: tab.call("texts") == ["one"], SEEN_SECONDS_MAX, "the page's first text")
    return page


def say_in_steps(conn: Connection, go_on: threading.Semaphore) -> None:
    """Each text, and then the end, only when it is let go on."""
    conn.send(sse_head())
    for text in TEXTS:
        assert go_on.acquire(timeout=SEEN_SECONDS_MAX)
        conn.send(chunk(chat_frame(text)))
    assert go_on.acquire(timeout=SEEN_SECONDS_MAX)
    conn.send(chunk(b"".join(chat_stream())) + LAST_CHUNK)


def break_off(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    conn.stall(0.02)
    conn.close()


def assert_says_when(headers: dict[str, str]) -> None:
    """Both forms of the same time, within what the SDK accepts."""
    assert 1 <= int(headers["retry-after"]) <= 60
    assert 0 < int(headers["retry-after-ms"]) <= int(headers["retry-after"]) * 1000
