"""A real Chromium for the pages of other origins: Debian's own, without a window, driven by playwright in a thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page, async_playwright

from tests.live.bench.program import clean_environ

BINARY = Path("/usr/bin/chromium")
CALL_SECONDS_MAX = 20.0
# Every name leads to loopback: a page may have any host in its address, and nothing leaves this machine.
ARGUMENTS = ["--host-resolver-rules=MAP * 127.0.0.1", "--no-proxy-server"]
CALL = "([name, asked]) => calls[name](asked)"
T = TypeVar("T")


class Browser:
    """A running Chromium. Its loop has a thread of its own, because a test may run another loop in pytest's."""

    def __init__(self, directory: Path) -> None:
        if not BINARY.exists():
            pytest.skip(f"{BINARY} is missing: `make test` installs it")
        self._environ: dict[str, str | float | bool] = {**clean_environ({"HOME": str(directory)})}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._playwright = self._wait(async_playwright().start())
        self._chromium: Chromium = self._wait(self._launch())

    def open(self, url: str, **looks: Any) -> "Tab":
        """Load a page in a tab with connections, cache and cookies of its own; `looks`: as of playwright's new_page."""
        tab = Tab(self._loop, *self._wait(self._new_page(looks)))
        tab.go(url)
        return tab

    def stop(self) -> None:
        self._wait(self._chromium.close())
        self._wait(self._playwright.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS_MAX)
        self._loop.close()

    async def _launch(self) -> Chromium:
        # Without its sandbox it also runs as root, and it sees pages of ours only.
        return await self._playwright.chromium.launch(
            executable_path=BINARY, chromium_sandbox=False, args=ARGUMENTS, env=self._environ
        )

    async def _new_page(self, looks: dict[str, Any]) -> tuple[Page, list[str]]:
        page, console = await self._chromium.new_page(**looks), list[str]()
        page.on("console", lambda message: console.append(message.text))  # sends, so not from another thread
        return page, console

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS_MAX)


class Tab:
    """One page. Its script offers functions in `calls`; what they take and return is JSON.

    `console`: what the page and the browser wrote there, the browser's reasons for a refusal too.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, page: Page, console: list[str]) -> None:
        self._loop, self._page, self.console = loop, page, console

    def go(self, url: str) -> int | None:
        """Load another page; return the status of its answer, if it has one."""
        answer = self._start(self._page.goto(url)).result(CALL_SECONDS_MAX)
        return answer.status if answer else None

    def call(self, name: str, /, **asked: object) -> Any:
        return self.start(name, **asked).result(CALL_SECONDS_MAX)

    def start(self, name: str, /, **asked: object) -> "Future[Any]":
        """Call without waiting, so that others can be called meanwhile."""
        return self._start(self._page.evaluate(CALL, [name, asked]))

    def run(self, act: Callable[[Page], Coroutine[Any, Any, T]]) -> T:
        """Do something that playwright can: run(lambda page: page.click("#start"))."""
        return self._start(act(self._page)).result(CALL_SECONDS_MAX)

    def tail(self) -> str:
        return "\n".join(self.console[-40:])

    def close(self) -> None:
        """All its connections end. Once more does no harm."""
        self._start(self._page.context.close()).result(CALL_SECONDS_MAX)

    def _start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)
