"""A task in a real Chromium: the page posts, and a native EventSource follows it with nothing but the address."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.live.bench.browser import Tab
from tests.live.bench.cutting_proxy import CuttingProxy
from tests.live.bench.page_server import PageServer
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import answering, error_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import Owed, nothing_left
from tests.live.conftest import SHORT_LIMITS
from tests.live.task_callers import Answers, asked
from tests.web.task_page import STAGES, Told, assert_in_order

pytest_plugins = ["tests.live.shared_browser", "tests.live.shared_tasks"]

TEXTS = [f"{number} Grüße " for number in range(120)]


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


def followed(page: Tab, port: int, key: str) -> tuple[Any, list[Told]]:
    asked_for = {"prompt": "Was ist SSE?", "model": "m"}
    seen = page.call("task", origin=f"http://127.0.0.1:{port}", key=key, body=asked_for)
    return seen, [Told(*event) for event in seen["events"]]


def test_all_of_it_arrives_once_though_the_connection_is_cut_and_then_the_browser_stops(
    relay: RelayProcess, page: Tab, key: str, upstream: ScriptedUpstream, answers: Callable[..., Answers]
) -> None:
    answers(TEXTS)
    proxy = CuttingProxy(relay.port, iter([5_000]))
    try:
        seen, told = followed(page, proxy.port, key)
    finally:
        proxy.stop()
    assert_in_order(told)
    assert [event.data["stage"] for event in told if event.name == "status"] == STAGES
    assert "".join(event.data.get("chunk", "") for event in told) == told[-1].data["response"] == "".join(TEXTS)
    assert (seen["status"], seen["opened"], proxy.broken) == (202, 2, 1)
    assert len(asked(upstream)) == 1


def test_a_failure_is_an_error_with_a_message(
    relay: RelayProcess, page: Tab, key: str, upstream: ScriptedUpstream
) -> None:
    upstream.answer(answering(error_answer("500 Oh", "oh")))
    _, told = followed(page, relay.port, key)
    assert_in_order(told)
    assert (told[-1].name, told[-1].data) == ("error", {"error": "the upstream says oh", "stage": "failed"})
