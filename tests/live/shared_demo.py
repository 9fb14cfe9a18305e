"""A pytest plugin of the demo page's tests: visits to the page that a module's `site` serves."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.bench.browser import Browser
from tests.live.demo_page import DemoPage
from tests.live.demo_site import Site, Visit

pytest_plugins = ["tests.live.shared_browser"]


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Visit]:
    """visit(locale="de-DE"): the page in a new tab; visit("/sse/demo/"): below a prefix."""
    opened: list[DemoPage] = []

    def open_(path: str = "/demo/", **looks: Any) -> DemoPage:
        opened.append(DemoPage(browser, site.origin + path, **looks))
        return opened[-1]

    yield open_
    for page in opened:
        page.close()
