"""relay-client.js before a server that says no: what is asked again, when, with which token, and what never is."""

import email.utils
import time
from typing import Any

import pytest

from tests.live.client_scene import Scene
from tests.live.scripted_relay import TEXTS, Telling, answer_of, hanging_up, refusing, saying

pytest_plugins = ["tests.live.shared_client"]

WHOLE = Telling(answer_of())
EXPIRED = refusing("401 Unauthorized", "token_expired", "WWW-Authenticate: Bearer")
BUSY = "429 Too Many Requests"


def assert_refused(seen: Any, status: int, code: str) -> None:
    error = seen["error"]
    assert (error["kind"], error["status"], error["code"], error["message"]) == (
        "refused",
        status,
        code,
        f"It is {code}.",
    )
    assert (seen["state"], seen["texts"], error["requestId"]) == ("failed", [], "req_1")


def tokens(scene: Scene) -> list[str | None]:
    return [post.header("authorization") for post in scene.asked("POST")]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 502, 503, 504])
def test_a_refusal_is_told_and_not_asked_again(in_node: Scene, status: int) -> None:
    assert_refused(in_node.relay(refusing(f"{status} No", "some_code"), WHOLE).read(), status, "some_code")
    assert len(in_node.asked("POST")) == 1


@pytest.mark.parametrize("when", ["retry-after-ms: 40", "Retry-After: 0", "date"])
def test_one_that_says_when_is_asked_again_as_the_same_request(scene: Scene, when: str) -> None:
    if when == "date":
        when = f"Retry-After: {email.utils.formatdate(time.time(), usegmt=True)}"
    seen = scene.relay(refusing(BUSY, "too_many_streams", when), WHOLE).read()
    assert (seen["error"], seen["texts"]) == (None, TEXTS)
    first, second = scene.asked("POST")
    assert first.header("idempotency-key") == second.header("idempotency-key")
    assert first.body == second.body


def test_it_is_asked_again_when_it_was_said(in_node: Scene) -> None:
    refused = [refusing(BUSY, "a", "Retry-After: 7"), refusing(BUSY, "a", "Retry-After: 7", "retry-after-ms: 6500")]
    in_node.relay(*refused, WHOLE, stallSeconds=1e5).call("hurry", times=500)
    assert in_node.read()["texts"] == TEXTS
    assert [wait for wait in in_node.call("waits") if 5_000 < wait < 10_000] == [7000, 6500]


def test_who_is_refused_for_ever_gives_up(scene: Scene) -> None:
    seen = scene.relay(refusing(BUSY, "too_many_streams", "retry-after-ms: 5")).read()
    assert_refused(seen, 429, "too_many_streams")
    assert (seen["error"]["retryable"], seen["error"]["retryAfterMs"]) == (True, 5)
    assert len(scene.asked("POST")) == 6


@pytest.mark.parametrize("headers", [["x-should-retry: false", "Retry-After: 0"], ["Retry-After: 61"]])
def test_what_shall_not_or_cannot_soon_be_asked_again_is_not(scene: Scene, headers: list[str]) -> None:
    seen = scene.relay(refusing(BUSY, "insufficient_quota", *headers), WHOLE).read()
    assert_refused(seen, 429, "insufficient_quota")
    assert seen["error"]["retryable"] is False
    assert len(scene.asked("POST")) == 1


def test_a_request_that_may_have_arrived_is_not_sent_again(scene: Scene) -> None:
    """Its Idempotency-Key may be forgotten with the relay that broke: to ask again is the page's decision."""
    seen = scene.relay(hanging_up, WHOLE).read()
    assert (seen["error"]["kind"], seen["error"]["code"], seen["error"]["retryable"]) == (
        "network",
        "connection_lost",
        False,
    )
    assert len(scene.asked("POST")) == 1


def test_a_server_that_does_not_answer_is_told(in_node: Scene) -> None:
    seen = in_node.relay(lambda conn, _: conn.stall(20), stallSeconds=0.2).read()
    assert (seen["error"]["kind"], seen["error"]["code"]) == ("network", "stalled")
    assert len(in_node.asked("POST")) == 1


def test_an_expired_token_is_renewed_once(scene: Scene) -> None:
    seen = scene.relay(EXPIRED, WHOLE, tokens=["old", "new"]).read()
    assert (seen["error"], seen["texts"]) == (None, TEXTS)
    assert tokens(scene) == ["Bearer old", "Bearer new"]
    first, second = scene.asked("POST")
    assert first.header("idempotency-key") == second.header("idempotency-key")


def test_a_token_that_is_no_better_is_told(scene: Scene) -> None:
    assert_refused(scene.relay(EXPIRED, tokens=["old", "older", "oldest"]).read(), 401, "token_expired")
    assert tokens(scene) == ["Bearer old", "Bearer older"]


def test_a_token_serves_all_streams_until_it_expires(scene: Scene) -> None:
    scene.relay(WHOLE, WHOLE, EXPIRED, WHOLE, tokens=["first", "second", "third"])
    for _ in range(3):
        assert scene.read()["state"] == "complete"
    assert tokens(scene) == ["Bearer first"] * 3 + ["Bearer second"]


def test_streams_that_find_out_together_ask_for_one_new_token(scene: Scene) -> None:
    scene.relay(
        lambda conn, request: (EXPIRED if request.header("authorization") == "Bearer old" else WHOLE)(conn, request),
        tokens=["old", "new", "surplus"],
    )
    seen = scene.call("readMany", count=4)
    assert [one["state"] for one in seen] == ["complete"] * 4
    assert sorted(map(str, tokens(scene))) == ["Bearer new"] * 4 + ["Bearer old"] * 4
    assert scene.call("tokensAsked") == 2


def test_the_new_token_is_kept_for_a_later_attempt(scene: Scene) -> None:
    scene.relay(
        EXPIRED, refusing(BUSY, "rate_limit_exceeded", "retry-after-ms: 5"), WHOLE, tokens=["old", "new", "surplus"]
    )
    assert scene.read()["texts"] == TEXTS
    assert tokens(scene) == ["Bearer old", "Bearer new", "Bearer new"]


def test_a_page_that_gets_no_token_hears_its_own_reason_and_may_try_again(scene: Scene) -> None:
    scene.relay(WHOLE, tokens=[None, "new"])
    seen = scene.read()
    assert (seen["error"]["name"], seen["error"]["message"]) == ("Error", "no token to be had")
    assert (seen["state"], scene.server.requests) == ("failed", [])
    assert scene.read()["texts"] == TEXTS


def test_without_a_token_no_credential_is_sent(scene: Scene) -> None:
    assert scene.relay(WHOLE, tokens=[""]).read()["texts"] == TEXTS
    assert tokens(scene) == [None]


FORMS = {
    "flat": ({"error": "MISSING_AUTH", "message": "Es fehlt etwas."}, "missing_auth", "Es fehlt etwas."),
    "of messages": ({"type": "error", "error": {"type": "overloaded_error", "message": "M"}}, "overloaded_error", "M"),
    "without a code": ({"error": {"message": "M", "code": None, "type": "t"}}, "t", "M"),
    "something else": ({"detail": "x"}, "", "The server answered 418."),
    "no object": ([1], "", "The server answered 418."),
    "null": ("null", "", "The server answered 418."),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_refusal_is_read_in_every_form(in_node: Scene, form: str) -> None:
    value, code, message = FORMS[form]
    error = in_node.relay(saying("418 Teapot", value)).read()["error"]
    assert (error["kind"], error["status"], error["code"], error["message"]) == ("refused", 418, code, message)


def test_a_proxys_own_page_is_told_by_its_status(scene: Scene) -> None:
    error = scene.relay(saying("502 Bad Gateway")).read()["error"]
    assert (error["kind"], error["status"], error["message"]) == ("refused", 502, "The server answered 502.")
