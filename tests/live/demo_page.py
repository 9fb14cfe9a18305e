"""The demo page as its visitor has it: pressed, read and watched in a real Chromium."""

import json
from collections.abc import Callable
from typing import Any

from playwright.async_api import ConsoleMessage, Dialog, Page

from relay.web.files import DIRECTORY
from tests.live.bench.browser import Browser
from tests.live.bench.page_server import PAGES
from tests.live.bench.waiting import until

RUN_SECONDS_MAX = 20.0
# Before any script of the page: what it would not tell by itself.
WATCH = """
window.seen = {violations: [], shifts: []};
addEventListener("securitypolicyviolation", (event) => seen.violations.push(event.violatedDirective));
new PerformanceObserver((list) => {
  for (const {hadRecentInput, value, sources} of list.getEntries()) {
    if (!hadRecentInput) seen.shifts.push(value, ...sources.map(({node}) => node?.id || node?.nodeName));
  }
}).observe({type: "layout-shift", buffered: true});
"""
TRANSFERRED = """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .map((entry) => [entry.name, entry.transferSize])"""
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
WORDS = {
    language: json.loads((DIRECTORY / f"demo/words.{language}.json").read_text())["page"] for language in ("en", "de")
}


class DemoPage:
    """`problems`: errors and warnings in the console, exceptions of the page, dialogs."""

    def __init__(self, browser: Browser, url: str, **looks: Any) -> None:
        self._tab = browser.open("about:blank", **looks)
        self.problems: list[str] = []
        self._tab.run(self._listen)
        self.status = self._tab.go(url)
        self.words = WORDS["de" if looks.get("locale", "").startswith("de") else "en"]
        self.run = self._tab.run
        self.close, self.tail = self._tab.close, self._tab.tail

    async def _listen(self, page: Page) -> None:
        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.problems.append(message.text)

        async def asked(dialog: Dialog) -> None:
            self.problems.append(f"a dialog: {dialog.message}")
            await dialog.dismiss()

        page.on("console", said)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", asked)
        await page.add_init_script(WATCH)

    def value(self, expression: str, argument: Any = None) -> Any:
        return self.run(lambda page: page.evaluate(expression, argument))

    def text(self, selector: str) -> str:
        """All text of an element, shown or not."""
        return str(self.value("(found) => document.querySelector(found).textContent", selector)).strip()

    def shows(self, selector: str) -> bool:
        return self.run(lambda page: page.is_visible(selector))

    def press(self, selector: str) -> None:
        self.run(lambda page: page.click(selector, timeout=5_000))

    def fill(self, selector: str, text: str) -> None:
        self.run(lambda page: page.fill(selector, text))

    def type_keys(self, *keys: str) -> None:
        for key in keys:
            self.run(lambda page, key=key: page.keyboard.press(key))  # type: ignore[misc]

    def wait_for_text(self, characters: int = 1) -> None:
        """Until so much of the answer is there."""
        until(lambda: len(self.text("#responseContainer")) >= characters, RUN_SECONDS_MAX, "an answer's beginning")

    def wait_for_stage(self, *stages: str) -> None:
        labels = [self.words["stages"][stage] for stage in stages]
        until(lambda: self.text("#statusText") in labels, RUN_SECONDS_MAX, f"the status {labels}")

    def wait_for_end(self) -> None:
        """Until the button is back."""
        until(lambda: self.value("!startBtn.disabled"), RUN_SECONDS_MAX, "the button")

    def ask(self) -> None:
        """Press the button, and wait for what becomes of it."""
        self.press("#startBtn")
        self.wait_for_end()

    def facts(self) -> dict[str, str]:
        """What the result line says, by its labels."""
        return dict(self.value("[...result.children].map((box) => [...box.children].map((part) => part.textContent))"))

    def contrasts(self) -> dict[str, float]:
        """The lowest of each kind of element."""
        ratios: dict[str, float] = {}
        for name, ratio in self.value((PAGES / "look.js").read_text()):
            ratios[name] = min(ratio, ratios.get(name, 21.0))
        return ratios

    def transferred(self) -> dict[str, int]:
        """Bytes by URL, headers too."""
        return dict(self.value(TRANSFERRED))

    def assert_clean(self) -> None:
        """Nobody was asked, nothing failed, nothing was blocked, nothing jumped."""
        seen = {"problems": self.problems, **self.value("seen")}
        assert seen == {"problems": [], "violations": [], "shifts": []}, seen


Visit = Callable[..., DemoPage]
