"""A pytest plugin of the tests of relay-client.js: in Node and in Chromium, before a relay that a test scripts."""

from collections.abc import Iterator

import pytest

from tests.live.bench.browser import Browser, Tab
from tests.live.bench.node_page import NodePage
from tests.live.bench.page_server import PageServer
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.client_scene import Scene

pytest_plugins = ["tests.live.shared_browser"]


@pytest.fixture(scope="module")
def node() -> Iterator[NodePage]:
    page = NodePage()
    yield page
    page.close()


@pytest.fixture(scope="module")
def tab(browser: Browser, pages: PageServer) -> Iterator[Tab]:
    """Of another origin than the relay's; that of its page is a listed one."""
    tab = browser.open(pages.origin() + "/client.html")
    yield tab
    tab.close()


@pytest.fixture(params=["node", "tab"], ids=["node", "chromium"])
def scene(request: pytest.FixtureRequest, upstream: ScriptedUpstream) -> Scene:
    """In Node and in Chromium."""
    return Scene(request.getfixturevalue(request.param), upstream)


@pytest.fixture
def in_node(node: NodePage, upstream: ScriptedUpstream) -> Scene:
    """For what is no browser's business."""
    return Scene(node, upstream)


@pytest.fixture
def in_chromium(tab: Tab, upstream: ScriptedUpstream) -> Scene:
    return Scene(tab, upstream)
