"""Makes the picture of the demo page for the README: python -m tests.live.demo_picture docs/demo.png"""

import sys
import tempfile
from pathlib import Path

from tests.live.bench.browser import Browser
from tests.live.demo_page import DemoPage
from tests.live.demo_site import BUILT_IN, Site

LOOKS = {"color_scheme": "dark", "locale": "en-GB", "viewport": {"width": 780, "height": 1060}}
# A ground of one colour and no shadows: half the bytes.
FLAT = """() => {
  document.documentElement.style.background = "#0d1220";
  for (const card of document.querySelectorAll(".card")) card.style.boxShadow = "none";
  document.querySelector("main").style.paddingBlock = "2rem";
  document.documentElement.style.scrollbarGutter = "auto";
  document.activeElement.blur();
}"""


def make_picture(path: Path) -> None:
    """An answer that was cut once, and resumed."""
    with tempfile.TemporaryDirectory() as directory:
        site = Site("", Path(directory), BUILT_IN)
        browser = Browser(Path(directory))
        try:
            page = DemoPage(browser, site.wait_ready().origin, **LOOKS)
            page.press("#startBtn")
            page.wait_for_text(80)
            page.press("#cutBtn")
            page.wait_for_end()
            page.value(FLAT)
            page.run(lambda tab: tab.mouse.move(0, 0))
            page.run(lambda tab: tab.screenshot(path=path, full_page=True, animations="disabled"))
            page.close()
        finally:
            browser.stop()
            site.stop()


if __name__ == "__main__":
    make_picture(Path(sys.argv[1]))
