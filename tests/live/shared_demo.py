"""A pytest plugin for the tests of the demo page: the page before the built-in demo, and before a scripted upstream."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.live.bench.browser import Browser
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.demo_page import DemoPage
from tests.live.demo_site import BUILT_IN, PRICED, Site

pytest_plugins = ["tests.live.shared_browser"]


@pytest.fixture(scope="session")
def free_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With nothing but the built-in demo."""
    site = Site("", tmp_path_factory.mktemp("free"), {**BUILT_IN, "RELAY_SERVER__PATH_PREFIX": "/sse"})
    try:
        yield site.wait_ready()
    finally:
        site.stop()


@pytest.fixture(scope="session")
def paid_upstream() -> Iterator[ScriptedUpstream]:
    upstream = ScriptedUpstream().start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="session")
def paid_site(paid_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With an upstream whose answers cost money."""
    site = Site(paid_upstream.base_url, tmp_path_factory.mktemp("paid"), PRICED)
    try:
        yield site.wait_ready()
    finally:
        site.stop()


@pytest.fixture
def model(paid_upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The paid one, polite until told otherwise. A script that failed fails the test."""
    paid_upstream.hang_up()
    paid_upstream.forget()
    yield paid_upstream
    paid_upstream.hang_up()
    paid_upstream.check()


@pytest.fixture(scope="session")
def page_key(paid_site: Site) -> str:
    return paid_site.relay.create_key("page", rpm=100_000, concurrent=100)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., DemoPage]]:
    """visit(site.origin + "/demo/", locale="de-DE"): in a tab of its own."""
    opened: list[DemoPage] = []

    def open_(url: str, **looks: Any) -> DemoPage:
        opened.append(DemoPage(browser, url, **looks))
        return opened[-1]

    yield open_
    for page in opened:
        page.close()


@pytest.fixture
def visit_paid(
    visit: Callable[..., DemoPage], paid_site: Site, page_key: str, model: ScriptedUpstream
) -> Callable[..., DemoPage]:
    """visit_paid(locale="de-DE"): with the key in its field."""

    def open_(**looks: Any) -> DemoPage:
        page = visit(paid_site.origin + "/demo/", **looks)
        page.fill("#key", page_key)
        return page

    return open_
