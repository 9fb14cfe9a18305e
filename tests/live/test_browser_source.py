"""A native EventSource in a real Chromium, with only the ticket's URL: it comes back by itself, through nginx too."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.live.bench.browser import Tab
from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.cutting_proxy import CuttingProxy
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.page_server import PageServer
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import CLOSE, chat_frame, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import Owed, nothing_left
from tests.live.conftest import SHORT_LIMITS
from tests.live.resuming import Kept, begin, calls, telling, texts

pytest_plugins = ["tests.live.shared_browser"]

# A browser waits three seconds before it comes back, unless it is told another time.
RETRY = b"retry: 50\n"
SAID = [RETRY + frame if number == 0 else frame for number, frame in enumerate(texts(300))]
CUTS = (4_000, 9_000, 13_000)


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
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        yield owed


@pytest.fixture
def page(open_tab: Callable[[str], Tab], pages: PageServer) -> Tab:
    return open_tab(pages.origin() + "/source.html")


@pytest.fixture
def kept(caller: RawCaller, upstream: ScriptedUpstream) -> Kept:
    """A stream that goes on while the page comes; whoever asked for it has left."""
    upstream.answer(telling(SAID, at_once=3, pause_seconds=0.01))
    kept = begin(caller)
    caller.close()
    return kept


def url(port: int, kept: Kept) -> str:
    return f"http://127.0.0.1:{port}{kept.url}"


def expected(kept: Kept, frames: list[bytes]) -> list[list[str]]:
    data = [frame.rpartition(b"data: ")[2].removesuffix(b"\n\n").decode() for frame in frames]
    return [[kept.event(seq), text] for seq, text in enumerate(data, start=1)]


@pytest.fixture(params=["directly", "through nginx"])
def port(request: pytest.FixtureRequest, relay: RelayProcess, start_nginx: Callable[[str], Nginx]) -> int:
    return relay.port if request.param == "directly" else start_nginx(stock_location(relay.port)).port


def test_it_comes_back_by_itself_through_three_cuts(
    port: int, page: Tab, kept: Kept, upstream: ScriptedUpstream
) -> None:
    proxy = CuttingProxy(port, iter(CUTS))
    try:
        seen: Any = page.call("follow", url=url(proxy.port, kept), last="[DONE]")
    finally:
        proxy.stop()
    assert seen["events"] == expected(kept, SAID)
    assert (proxy.broken, seen["broke"], seen["opened"], seen["gaveUp"]) == (3, 3, 4, False)
    assert calls(upstream) == 1
    assert upstream.peer_closes == []


def test_one_that_goes_on_behind_the_end_has_it_once_and_stops(
    relay: RelayProcess, page: Tab, caller: RawCaller, upstream: ScriptedUpstream
) -> None:
    said = [RETRY + chat_frame("a"), *texts(2)]
    upstream.answer(telling(said))
    kept = begin(caller)
    caller.read_all()
    seen: Any = page.call("followToTheEnd", url=url(relay.port, kept))
    assert (seen["events"], seen["opened"]) == (expected(kept, said), 1)


def breaking(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head(CLOSE) + RETRY + chat_frame("a"))
    conn.close()


def test_it_hears_why_a_stream_broke_once_and_stops(
    relay: RelayProcess, page: Tab, caller: RawCaller, upstream: ScriptedUpstream
) -> None:
    upstream.answer(breaking)
    kept = begin(caller)
    caller.read_all()
    seen: Any = page.call("followToTheEnd", url=url(relay.port, kept))
    [first, (last_id, last)] = seen["events"]
    assert first == expected(kept, [chat_frame("a")])[0]
    assert (last_id, json.loads(last)["error"]["code"]) == (kept.event(2), "upstream_incomplete")
