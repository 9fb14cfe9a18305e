"""How the demo page looks, and who can use it: both languages, dark and light, a phone, a keyboard, a screen reader."""

from typing import Any

import pytest
from playwright.async_api import Page

from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import chat_frame, every_request, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import chunk
from tests.live.demo_page import PHONE, Visit
from tests.live.demo_site import Site

pytest_plugins = ["tests.live.shared_demo"]

LOOKS = [("de-DE", "dark"), ("en-GB", "light")]
CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3
TOUCH_PX_MIN = 44  # WCAG 2.2, 2.5.5
RIGHTMOST = """Math.max(document.documentElement.scrollWidth,
  ...[...document.querySelectorAll("body *")].map((element) => element.getBoundingClientRect().right))"""
GROUND = "getComputedStyle(document.querySelector('.card')).backgroundColor"


@pytest.mark.parametrize(("locale", "scheme"), LOOKS)
def test_it_speaks_and_looks_as_the_browser_asks_and_can_be_read(visit_paid: Visit, locale: str, scheme: str) -> None:
    page = visit_paid(locale=locale, color_scheme=scheme)
    assert page.value("document.documentElement.lang") == locale[:2]
    assert page.text("label[for=prompt]") == {"de": "Ihre Frage:", "en": "Your question:"}[locale[:2]]
    idle = page.contrasts()
    page.ask()
    done = page.contrasts()
    page.fill("#key", "rk_wrong")
    page.ask()
    failed = page.contrasts()
    assert {"prompt", "model", "startBtn", "latency", "keyHint"} <= set(idle)
    assert {"statusText", "percent", "responseContainer", "DT", "DD"} <= set(done)
    assert page.shows("#error") and page.text("#error")
    low = {name: ratio for name, ratio in [*idle.items(), *done.items(), *failed.items()] if ratio < CONTRAST_MIN}
    assert low == {}
    channels = [int(channel) for channel in page.value(GROUND).strip("rgb()").split(",")]
    assert (min(channels) > 200) == (scheme == "light")


def test_on_a_phone_nothing_has_to_be_scrolled_sideways(visit_paid: Visit) -> None:
    page = visit_paid(locale="de-DE", **PHONE)
    assert page.value(RIGHTMOST) <= 360
    page.ask()
    assert page.value(RIGHTMOST) <= 360
    heights = page.value("[startBtn, stopBtn, cutBtn, model].map((e) => e.getBoundingClientRect().height)")
    assert min(heights) >= TOUCH_PX_MIN
    page.assert_clean()


def test_a_keyboard_is_enough(visit: Visit, paid_site: Site, page_key: str, model: ScriptedUpstream) -> None:
    def first_word(conn: Connection, _: object) -> None:
        conn.send(sse_head() + chunk(chat_frame("Hello")))
        conn.wait_closed(20)

    model.answer(every_request(first_word))
    page = visit(paid_site.origin + "/demo/")
    active, outlines = [], []
    for typed in ("?", page_key, "gpt-test", ""):
        page.type_keys("Tab")
        page.run(lambda tab, typed=typed: tab.keyboard.insert_text(typed))  # type: ignore[misc]
        active.append(page.value("document.activeElement.id"))
        outlines.append(page.value("getComputedStyle(document.activeElement).outlineWidth"))
    assert (active, outlines) == (["prompt", "key", "model", "startBtn"], ["3px"] * 4)
    page.type_keys("Enter")
    until(lambda: page.value("document.activeElement.id") == "stopBtn", 5, "the focus on the stop button")
    page.wait_for_text()
    page.type_keys("Shift+Tab")
    assert page.value("document.activeElement.id") == "cutBtn"
    page.type_keys("Tab", "Enter")
    page.wait_for_end()
    assert page.text("#statusText") == page.words["stages"]["stopped"]
    assert page.value("document.activeElement.id") == "startBtn"


def test_a_screen_reader_is_told_all_of_it(visit_paid: Visit) -> None:
    page = visit_paid(locale="de-DE")
    page.ask()
    nodes = page.run(accessible)
    told = {(node["role"]["value"], node["name"]["value"].strip()) for node in nodes if "name" in node}
    assert {
        ("heading", "Streaming durch das Relay"),
        ("textbox", "Ihre Frage:"),
        ("textbox", "Schlüssel oder Client-Token:"),
        ("textbox", "Modell:"),
        ("button", "Verarbeitung starten"),
        ("button", "Verbindung trennen"),
        ("button", "Stopp"),
        ("progressbar", "Fortschritt"),
        ("region", "Antwort"),
    } <= told
    assert {"main", "status"} <= {node["role"]["value"] for node in nodes}
    assert page.value("error.getAttribute('role')") == "alert"
    ids = page.value("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(set(ids)) == len(ids)


async def accessible(tab: Page) -> list[dict[str, Any]]:
    """What Chromium tells a screen reader."""
    session = await tab.context.new_cdp_session(tab)
    nodes = (await session.send("Accessibility.getFullAXTree"))["nodes"]
    return [node for node in nodes if not node["ignored"]]
