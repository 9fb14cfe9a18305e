"""The demo page at a first visit: one button, through nginx, with nothing but the built-in demo behind it."""

from collections.abc import Callable

from relay.demo.models import ANSWER
from tests.live.bench.nginx import Nginx
from tests.live.bench.waiting import until
from tests.live.demo_page import PHONE, Visit
from tests.live.demo_site import Site

pytest_plugins = ["tests.live.shared_demo"]

BYTES_MAX = 60_000
NOTICED_SECONDS_MAX = 2.0


def calls(site: Site) -> list[dict[str, object]]:
    """Of the model."""
    return [line for line in site.relay.log_lines() if line["upstream"] == "demo" and line["model"]]


def followers(site: Site) -> list[object]:
    """How the connections ended that followed a task."""
    return [line["end"] for line in site.relay.log_lines() if str(line["route"]).endswith("/v1/tasks/<task_id>/events")]


def test_one_button_and_the_answer_streams_to_its_end(visit: Visit, free_site: Site) -> None:
    before = len(calls(free_site))
    page = visit(free_site.origin)
    assert page.value("location.pathname") == "/demo/"
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
    assert (facts["Model"], facts["Cost"]) == ("demo", "none")
    assert int(facts["Tokens"]) >= len(ANSWER.split())
    assert_measured(page.text("#latency"), facts)
    until(lambda: len(calls(free_site)) == before + 1, what="the call in the log")
    assert_light(page.transferred(), free_site)
    page.assert_clean()


def assert_measured(latency: str, facts: dict[str, str]) -> None:
    """The demo waits 0.2 s before its first word and 0.03 s between them."""
    seconds, first_ms = (float(facts[name].split()[0].replace(",", "")) for name in ("Time", "First word"))
    assert 2.2 < seconds < 20
    assert 200 < first_ms < seconds * 1000 - 1500
    assert 0 < float(latency.removesuffix(" ms")) < first_ms


def assert_light(sizes: dict[str, int], site: Site) -> None:
    names = {url.removeprefix(site.origin).partition("?")[0] for url in sizes}
    assert {"/demo/demo.css", "/demo/demo.js", "/demo/check.js", "/relay-client.js", "/demo/token"} <= names
    loaded = {url: size for url, size in sizes.items() if "/stream/" not in url}
    assert sum(loaded.values()) < BYTES_MAX, loaded


def test_a_cut_connection_is_resumed_and_nothing_is_asked_twice(visit: Visit, free_site: Site) -> None:
    """Here below a path prefix, in German, on a phone."""
    before, followed_before = len(calls(free_site)), len(followers(free_site))
    page = visit(free_site.origin + "/sse/demo/", locale="de-DE", **PHONE)
    page.press("#startBtn")
    page.wait_for_text(20)
    page.press("#cutBtn")
    assert page.text("#statusText") == page.words["stages"]["cut"]
    assert page.value("wire.dataset.state") == "cut"
    kept = page.text("#responseContainer")
    page.wait_for_end()
    assert ANSWER.startswith(kept) and len(kept) < len(ANSWER)
    assert page.text("#responseContainer") == ANSWER
    assert page.facts()["Fortgesetzt"] == "1 ×"
    until(lambda: len(calls(free_site)) == before + 1, what="the call in the log")
    until(lambda: followers(free_site)[followed_before:] == ["client_gone", "done"], what="two connections, one cut")
    assert [url for url in page.transferred() if url.endswith("/sse/v1/tasks")] == [free_site.origin + "/sse/v1/tasks"]
    page.assert_clean()


def test_stop_stops_the_model_and_the_next_question_starts_afresh(visit: Visit, free_site: Site) -> None:
    before = len(calls(free_site))
    page = visit(free_site.origin + "/demo/")
    page.run(lambda tab: tab.select_option("#model", "demo-slow"))
    page.press("#startBtn")
    page.wait_for_text(10)
    page.press("#stopBtn")
    page.wait_for_end()
    assert page.text("#statusText") == page.words["stages"]["stopped"]
    kept = page.text("#responseContainer")
    assert kept and ANSWER.startswith(kept)
    assert list(page.facts()) == ["Time", "First word"]
    until(lambda: len(calls(free_site)) == before + 1, NOTICED_SECONDS_MAX, "the end of the call")
    assert calls(free_site)[-1]["end"] == "cancelled"
    page.run(lambda tab: tab.select_option("#model", "demo"))
    page.press("#startBtn")
    assert (page.facts(), page.text("#statusText") == page.words["stages"]["stopped"]) == ({}, False)
    page.wait_for_text(10)
    assert ANSWER.startswith(page.text("#responseContainer"))
    page.assert_clean()


def test_the_way_is_checked_through_one_nginx_and_through_two_of_which_the_outer_one_buffers(
    visit: Visit, free_site: Site, start_nginx: Callable[[str], Nginx]
) -> None:
    """The inner one takes X-Accel-Buffering for itself."""
    outer = start_nginx(f"proxy_pass http://127.0.0.1:{free_site.nginx_port};")
    for port, said in ((free_site.nginx_port, "✅ Live: 10"), (outer.port, "⚠️ Held back: 10")):
        page = visit(f"http://127.0.0.1:{port}/demo/")
        page.press("#checkBtn")
        until(lambda page=page: not page.value("checkBtn.disabled"), 10, "the check")  # type: ignore[misc]
        assert page.text("#checkText")[: len(said)] == said
        page.assert_clean()
