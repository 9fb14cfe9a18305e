"""The demo page at a first visit: one button, through nginx, with nothing but the built-in demo behind it."""

from collections.abc import Iterator

import pytest

from relay.demo.models import ANSWER
from tests.live.bench.waiting import until
from tests.live.demo_site import BUILT_IN, Site, Visit

pytest_plugins = ["tests.live.shared_demo"]

LOOKS = [(locale, scheme) for locale in ("de-DE", "en-GB") for scheme in ("dark", "light")]
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
BYTES_MAX = 60_000
CONTRAST_MIN = 4.5
NOTICED_SECONDS_MAX = 2.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site("", tmp_path_factory.mktemp("site"), {**BUILT_IN, "RELAY_SERVER__PATH_PREFIX": "/sse"})
    try:
        yield site.wait_ready()
    finally:
        site.stop()


def calls(site: Site) -> list[dict[str, object]]:
    """Of the model."""
    return [line for line in site.relay.log_lines() if line["upstream"] == "demo" and line["model"]]


@pytest.mark.parametrize("path", ["/", "/sse/demo/"])
def test_one_button_and_the_answer_streams_to_its_end(visit: Visit, site: Site, path: str) -> None:
    before = len(calls(site))
    page = visit(path)
    assert not page.shows("#progressContainer") and not page.shows("#responseContainer")
    page.press("#startBtn")
    page.wait_for_text()
    assert page.value("startBtn.disabled") and page.text("#startBtn") == page.words["running"]
    page.wait_for_end()
    assert page.text("#responseContainer") == ANSWER
    assert page.text("#statusText") == page.words["stages"]["complete"]
    assert page.value("progressBar.ariaValueNow") == page.value("progressFill.style.width").rstrip("%") == "100"
    facts = page.facts()
    assert list(facts) == ["Time", "First word", "Tokens", "Cost", "Model"]
    assert facts["Model"] == "demo" and facts["Cost"] == "none"
    assert int(facts["Tokens"]) >= len(ANSWER.split())
    until(lambda: len(calls(site)) == before + 1, what="the call in the log")
    page.assert_clean()


def test_times_are_measured_here(visit: Visit) -> None:
    page = visit()
    page.ask()
    seconds, first_ms = (float(page.facts()[name].split()[0].replace(",", "")) for name in ("Time", "First word"))
    assert 2.2 < seconds < 20  # 0.2 s before the first word, 0.03 s between them
    assert 200 < first_ms < seconds * 1000 - 1500
    assert float(page.text("#latency").split()[0]) < first_ms


def test_a_cut_connection_is_resumed_and_nothing_is_asked_twice(visit: Visit, site: Site) -> None:
    before = len(calls(site)), len(site.lines("/v1/tasks"))
    page = visit()
    page.press("#startBtn")
    page.wait_for_text(20)
    page.press("#cutBtn")
    assert page.text("#statusText") == page.words["stages"]["cut"]
    assert page.value("wire.dataset.state") == "cut"
    kept = page.text("#responseContainer")
    page.wait_for_end()
    assert ANSWER.startswith(kept) and len(kept) < len(ANSWER)
    assert page.text("#responseContainer") == ANSWER
    assert page.facts()["Resumed"] == "1 ×"
    until(lambda: len(calls(site)) == before[0] + 1, what="the call in the log")
    assert len(site.lines("/v1/tasks")) == before[1] + 2  # the request, and the work on it
    page.assert_clean()


def test_stop_stops_the_model_and_the_next_question_starts_afresh(visit: Visit, site: Site) -> None:
    before = len(calls(site))
    page = visit()
    page.run(lambda tab: tab.select_option("#model", "demo-slow"))
    page.press("#startBtn")
    page.wait_for_text(10)
    page.press("#stopBtn")
    page.wait_for_stage("stopped")
    page.wait_for_end()
    kept = page.text("#responseContainer")
    assert kept and ANSWER.startswith(kept)
    assert list(page.facts()) == ["Time", "First word"]
    until(lambda: len(calls(site)) == before + 1, NOTICED_SECONDS_MAX, "the end of the call")
    assert calls(site)[-1]["end"] == "cancelled"
    page.run(lambda tab: tab.select_option("#model", "demo"))
    page.press("#startBtn")
    assert (page.text("#responseContainer"), page.facts()) == ("", {})
    page.wait_for_end()
    assert page.text("#responseContainer") == ANSWER
    page.assert_clean()


@pytest.mark.parametrize(("locale", "scheme"), LOOKS)
def test_it_speaks_and_looks_as_the_browser_asks_and_can_be_read(visit: Visit, locale: str, scheme: str) -> None:
    page = visit(locale=locale, color_scheme=scheme)
    assert page.value("document.documentElement.lang") == locale[:2]
    assert page.text("label[for=prompt]") == {"de": "Ihre Frage:", "en": "Your question:"}[locale[:2]]
    idle = page.contrasts()
    page.ask()
    done = page.contrasts()
    assert {"prompt", "model", "startBtn", "latency"} <= set(idle)
    assert {"statusText", "percent", "responseContainer", "DT", "DD"} <= set(done)
    assert {name: ratio for name, ratio in {**idle, **done}.items() if ratio < CONTRAST_MIN} == {}
    brightness = page.value("getComputedStyle(document.querySelector('.card')).backgroundColor").strip("rgb()")
    assert (min(int(part) for part in brightness.split(",")) > 200) == (scheme == "light")
    page.assert_clean()


def test_on_a_phone_nothing_has_to_be_scrolled_sideways(visit: Visit) -> None:
    page = visit(locale="de-DE", **PHONE)
    wide = "Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll('body *')]"
    wide += ".map((element) => element.getBoundingClientRect().right))"
    assert page.value(wide) <= 360
    page.ask()
    assert page.value(wide) <= 360
    small = page.value("[startBtn, stopBtn, cutBtn, model].map((e) => e.getBoundingClientRect().height)")
    assert min(small) >= 44
    page.assert_clean()


def test_all_of_it_is_light(visit: Visit, site: Site) -> None:
    page = visit()
    page.ask()
    sizes = page.transferred()
    names = {url.removeprefix(site.origin).partition("?")[0] for url in sizes}
    assert {"/demo/", "/demo/demo.css", "/demo/demo.js", "/relay-client.js", "/demo/token"} <= names
    loaded = {url: size for url, size in sizes.items() if "/stream/" not in url}
    assert sum(loaded.values()) < BYTES_MAX, loaded


def test_a_keyboard_is_enough(visit: Visit) -> None:
    page = visit()
    active, outlines = [], []
    for _ in range(3):
        page.type_keys("Tab")
        active.append(page.value("document.activeElement.id"))
        outlines.append(page.value("getComputedStyle(document.activeElement).outlineWidth"))
    assert (active, outlines) == (["prompt", "model", "startBtn"], ["3px"] * 3)
    page.type_keys("Enter")
    until(lambda: page.value("document.activeElement.id") == "stopBtn", 5, "the focus on the stop button")
    page.type_keys("Tab")
    assert page.value("document.activeElement.id") == "responseContainer" or page.value("cutBtn.disabled") is False
    page.wait_for_text()
    page.value("stopBtn.focus()")
    page.wait_for_end()
    assert page.value("document.activeElement.id") == "startBtn"


def test_a_screen_reader_is_told_all_of_it(visit: Visit) -> None:
    page = visit(locale="de-DE")

    async def tree(tab):  # type: ignore[no-untyped-def]
        session = await tab.context.new_cdp_session(tab)
        return (await session.send("Accessibility.getFullAXTree"))["nodes"]

    page.ask()
    nodes = [node for node in page.run(tree) if not node["ignored"]]
    told = {(node["role"]["value"], node.get("name", {}).get("value", "").strip()) for node in nodes}
    assert {
        ("heading", "Streaming durch das Relay"),
        ("textbox", "Ihre Frage:"),
        ("combobox", "Modell:"),
        ("button", "Verarbeitung starten"),
        ("button", "Verbindung kappen"),
        ("button", "Stopp"),
        ("progressbar", "Fortschritt"),
        ("region", "Antwort"),
    } <= told
    assert {role for role, _ in told} >= {"main", "status"}
    assert not [node for node in nodes if node["role"]["value"] in ("button", "textbox") and not node["name"]["value"]]
    assert (
        page.value("statusText.getAttribute('role')") == "status"
        and page.value("error.getAttribute('role')") == "alert"
    )
    assert page.value("new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size") == page.value(
        "document.querySelectorAll('[id]').length"
    )
