"""The demo page before a real upstream: it wants a key, shows what fails, and takes nothing for markup."""

import json
import threading

import pytest

from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import (
    DONE,
    Script,
    chat_frame,
    chat_stream,
    data_frame,
    every_request,
    json_answer,
    sse_head,
    streaming,
    usage_frame,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import CHAT
from tests.live.demo_page import DemoPage, Visit
from tests.live.demo_site import Site
from tests.live.payloads import PAYLOADS

pytest_plugins = ["tests.live.shared_demo"]

REFUSED_ON_CONSOLE = "Failed to load resource: the server responded with a status of 401 (UNAUTHORIZED)"


@pytest.fixture
def page(visit_paid: Visit) -> DemoPage:
    """With the key in its field."""
    return visit_paid()


def saying(*texts: str, prompt_tokens: int = 10, completion_tokens: int = 1000) -> Script:
    *frames, done = chat_stream(*texts)
    return streaming([*frames, usage_frame(prompt_tokens, completion_tokens), done])


def failing(message: str, status: str = "400 Bad Request") -> Script:
    error = {"message": message, "type": "x", "param": None, "code": "bad"}
    return every_request(lambda conn, _: conn.send(json_answer({"error": error}, status=status)))


def asked(model: ScriptedUpstream) -> list[str]:
    """The models that were asked."""
    return [json.loads(sent.body)["model"] for sent in model.requests if sent.path == CHAT]


def test_without_a_key_nothing_is_sent_and_the_page_says_why(visit: Visit, paid_site: Site) -> None:
    page = visit(paid_site.origin + "/demo/", locale="de-DE")
    before = len(paid_site.relay.log_lines())
    page.press("#startBtn")
    assert page.value("key.validity.valueMissing") and page.value("document.activeElement.id") == "key"
    assert "kosten Geld" in page.text("#keyHint")
    assert page.value("key.getAttribute('aria-describedby')") == "keyHint"
    assert min(page.contrasts().values()) >= 4.5
    assert not [line for line in paid_site.relay.log_lines()[before:] if line["route"] in ("/v1/tasks", "/demo/token")]
    page.assert_clean()


def test_the_cost_comes_from_the_upstreams_own_count(page: DemoPage, model: ScriptedUpstream) -> None:
    model.answer(saying("Hello", " world"))
    page.ask()
    assert page.text("#responseContainer") == "Hello world"
    facts = page.facts()
    assert (facts["Tokens"], facts["Cost"], facts["Model"]) == ("1010", "$0.0080", "gpt-test")
    assert asked(model) == ["gpt-test"]
    page.assert_clean()


def test_a_key_is_kept_nowhere(page: DemoPage, paid_site: Site, page_key: str, model: ScriptedUpstream) -> None:
    model.answer(saying("Hello"))
    page.ask()
    stored = "[JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie, location.href].join()"
    assert page.value(stored) == f"{{}},{{}},,{paid_site.origin}/demo/"
    assert not [url for url in page.transferred() if page_key in url]
    page.run(lambda tab: tab.reload())
    assert page.value("document.getElementById('key').value") == ""


def test_a_wrong_key_is_an_error_and_a_right_one_helps(
    visit: Visit, paid_site: Site, model: ScriptedUpstream, page_key: str
) -> None:
    model.answer(saying("Hello"))
    page = visit(paid_site.origin + "/demo/")
    page.fill("#key", "rk_wrong")
    page.ask()
    assert page.text("#error").startswith("Refused: This key is not valid.invalid_api_key · HTTP 401 · req_")
    assert page.text("#statusText") == page.words["stages"]["failed"]
    assert page.text("#startBtn") == page.words["start"]
    assert min(page.contrasts().values()) >= 4.5
    page.fill("#key", page_key)
    page.press("#startBtn")
    assert not page.shows("#error") and page.text("#error") == ""
    page.wait_for_end()
    assert page.text("#responseContainer") == "Hello"
    assert page.problems == [REFUSED_ON_CONSOLE]  # the browser's own


def test_an_answer_that_breaks_off_is_shown_as_far_as_it_came(page: DemoPage, model: ScriptedUpstream) -> None:
    model.answer(streaming([chat_frame("Half an ans")]))
    page.ask()
    assert page.text("#responseContainer") == "Half an ans"
    assert page.text("#error").startswith("The answer broke off: ")
    assert page.facts() == {}
    page.assert_clean()


def test_a_network_that_is_gone_is_a_connection_error(page: DemoPage) -> None:
    page.run(lambda tab: tab.context.set_offline(True))
    page.ask()
    assert page.text("#error").startswith("Connection error: The relay cannot be reached.")
    assert page.value("wire.dataset.state") == "lost"


def test_what_comes_while_the_connection_is_cut_is_not_lost(page: DemoPage, model: ScriptedUpstream) -> None:
    """Cut in the middle, with the rest made meanwhile: the same text, and one call of the model."""
    is_cut = threading.Event()

    def in_two_parts(conn: Connection, _: object) -> None:
        conn.send(sse_head() + b"".join(chunk(chat_frame(f"{number} ")) for number in range(50)))
        assert is_cut.wait(10)
        rest = [chat_frame(f"{number} ") for number in range(50, 100)]
        conn.send(b"".join(map(chunk, [*rest, chat_frame("", "stop"), usage_frame(1, 100), DONE])) + LAST_CHUNK)

    model.answer(every_request(in_two_parts))
    page.press("#startBtn")
    page.wait_for_text(len("".join(f"{number} " for number in range(50)).strip()))
    page.press("#cutBtn")
    is_cut.set()
    page.wait_for_end()
    assert page.text("#responseContainer").split() == [str(number) for number in range(100)]
    assert page.facts()["Resumed"] == "1 ×"
    assert asked(model) == ["gpt-test"]
    page.assert_clean()


def test_stop_and_leaving_the_page_close_the_upstream(page: DemoPage, model: ScriptedUpstream) -> None:
    def first_word(conn: Connection, _: object) -> None:
        conn.send(sse_head() + chunk(chat_frame("Hello")))
        conn.wait_closed(20)

    model.answer(every_request(first_word))
    for leave in (lambda: page.press("#stopBtn"), lambda: page.run(lambda tab: tab.goto("about:blank"))):
        page.press("#startBtn")
        page.wait_for_text()
        until(lambda: model.busy == 1, what="a call")
        leave()
        until(lambda: model.busy == 0, what="the end of the call")


def test_whatever_comes_stays_text(page: DemoPage, model: ScriptedUpstream) -> None:
    assert len(set(PAYLOADS)) == 100
    model.answer(saying(*PAYLOADS))
    page.ask()
    assert page.value("responseContainer.textContent") == "".join(PAYLOADS)
    model.answer(failing("\n".join(PAYLOADS)))
    page.ask()
    assert "\n".join(PAYLOADS) in page.value("error.textContent")
    for name in PAYLOADS[::25]:
        assert_name_stays_text(page, model, name)
    assert page.value("document.querySelectorAll('#run *, #error *').length") < 60
    page.assert_clean()


@pytest.mark.soak
def test_each_of_them_stays_text_by_itself(page: DemoPage, model: ScriptedUpstream) -> None:
    for payload in PAYLOADS:
        model.answer(failing(payload))
        page.ask()
        assert payload in page.value("error.textContent")
        assert_name_stays_text(page, model, payload)
    page.assert_clean()


def assert_name_stays_text(page: DemoPage, model: ScriptedUpstream, name: str) -> None:
    """As the answer's model, and in an answer of its own."""
    model.answer(saying(name))
    page.fill("#model", name)
    page.ask()
    page.fill("#model", "")
    assert page.value("responseContainer.textContent") == name
    assert page.facts()["Model"] == name
    assert page.value("document.querySelectorAll('#responseContainer *, dd *').length") == 0


def test_a_word_that_never_ends_widens_nothing(visit_paid: Visit, model: ScriptedUpstream) -> None:
    page = visit_paid(viewport={"width": 360, "height": 740})
    model.answer(saying(*["x" * 500] * 20))
    page.ask()
    assert page.value("document.documentElement.scrollWidth") <= 360
    assert page.value("responseContainer.scrollHeight > responseContainer.clientHeight")
    assert page.value("responseContainer.clientHeight") <= 300
    page.assert_clean()


def test_an_error_in_the_stream_is_shown(page: DemoPage, model: ScriptedUpstream) -> None:
    error = data_frame({"error": {"message": "The model tripped.", "type": "x", "param": None, "code": "tripped"}})
    model.answer(streaming([chat_frame("Hello"), error]))
    page.ask()
    assert page.text("#error").startswith("The answer broke off: ")
    page.assert_clean()
