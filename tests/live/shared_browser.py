"""A pytest plugin of the tests that name it: one Chromium for all of them, and the server of its pages."""

from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.browser import Browser, Tab
from tests.live.bench.page_server import PageServer


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.stop()


@pytest.fixture(scope="session")
def pages() -> Iterator[PageServer]:
    pages = PageServer().start()
    yield pages
    pages.stop()


@pytest.fixture
def open_tab(browser: Browser, owed: object) -> Iterator[Callable[[str], Tab]]:
    """open_tab(url); closed before the test's `owed` is looked at, since a browser keeps its connections."""
    tabs: list[Tab] = []

    def open_(url: str) -> Tab:
        tabs.append(browser.open(url))
        return tabs[-1]

    yield open_
    for tab in tabs:
        tab.close()
