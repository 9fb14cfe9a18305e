"""relay-client.js reads: each route's events as chunks with their text, each as soon as it comes, and an honest end."""

import threading
import time
from typing import Any

import pytest

from tests.live.bench.conversation import Connection, Request
from tests.live.bench.scripts import DONE, chat_frame, data_frame, usage_frame
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.client_scene import Scene
from tests.live.scripted_relay import RESUMABLE, STREAM, TEXTS, Telling, answer_of, error_event, numbered, saying

pytest_plugins = ["tests.live.shared_client"]

ALL = answer_of()


def typed(name: str, **data: object) -> bytes:
    return f"event: {name}\n".encode() + data_frame({"type": name, **data})


MESSAGES = [
    typed("message_start", message={"role": "assistant"}),
    typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"}),
    typed("ping"),
    typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "lo"}),
    typed("message_delta", delta={"stop_reason": "end_turn"}),
    typed("message_stop"),
]
RESPONSES = [
    typed("response.created", response={"error": None}),
    typed("response.output_text.delta", delta="Hel"),
    typed("response.function_call_arguments.delta", delta='{"not": "text"}'),
    typed("response.output_text.delta", delta="lo"),
    typed("response.completed", response={"error": None, "usage": {"total_tokens": 2}}),
]
CHAT = [
    data_frame({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]}),
    data_frame({"choices": [{"index": 1, "delta": {"content": "other"}}, {"index": 0, "delta": {"content": "Hel"}}]}),
    b": a comment\ndata: no JSON\n\n",
    data_frame({"choices": None}),
    data_frame([]),
    b"data: null\n\n",
    chat_frame("lo"),
    usage_frame(1, 2),
    DONE,
]
COMPLETIONS = [data_frame({"choices": [{"index": 0, "text": text}]}) for text in ("Hel", "lo")] + [DONE]
ROUTES = {
    "/v1/messages": MESSAGES,
    "/v1/responses": RESPONSES,
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("resumable", [True, False], ids=["resumable", "plain"])
def test_each_routes_events_are_chunks_with_their_text(scene: Scene, path: str, resumable: bool) -> None:
    events = [numbered(event, seq) if resumable else event for seq, event in enumerate(ROUTES[path], 1)]
    seen = scene.relay(Telling(events, headers=RESUMABLE if resumable else ())).read(path=path)
    assert (seen["error"], seen["state"], "".join(seen["texts"])) == (None, "complete", "Hello")
    assert len(seen["texts"]) == len([event for event in events if DONE not in event])
    assert seen["ids"][0] == (f"{STREAM}:1" if resumable else None)
    assert [request.path for request in scene.server.requests if request.method != "OPTIONS"] == [path]


def test_the_request_goes_as_it_was_given_with_what_it_needs(scene: Scene) -> None:
    scene.relay(Telling(ALL)).read(ask={"model": "m", "messages": [], "temperature": 0})
    scene.read(ask={"model": "m"}, idempotencyKey="the page's own")
    first, second = scene.asked("POST")
    assert first.json() == {"model": "m", "messages": [], "temperature": 0, "stream": True}
    assert (first.header("authorization"), first.header("content-type")) == ("Bearer rk_test", "application/json")
    assert len(first.header("idempotency-key") or "") >= 22
    assert second.header("idempotency-key") == "the page's own"


def test_every_request_has_a_key_of_its_own(scene: Scene) -> None:
    scene.relay(Telling(ALL)).call("readMany", count=3)
    assert len({post.header("idempotency-key") for post in scene.asked("POST")}) == 3


def test_each_chunk_is_given_before_the_next_is_sent(scene: Scene) -> None:
    go_on = threading.Semaphore(0)

    def in_steps(conn: Connection, request: Request) -> None:
        Telling(ALL, 1, "open")(conn, request)
        for event in ALL[1:]:
            assert go_on.acquire(timeout=10)
            conn.send(chunk(event))

    reading = scene.relay(in_steps).start()
    for count in range(1, len(ALL)):
        until(lambda count=count: scene.call("seen") >= count, 10, f"chunk {count}")
        assert scene.call("seen") == count
        go_on.release()
    go_on.release()
    assert reading.result(10)["state"] == "complete"


def test_callbacks_are_told_each_chunk_and_the_end(scene: Scene) -> None:
    seen = scene.relay(Telling(ALL)).call("callBack")
    assert (seen["texts"], seen["state"]) == (TEXTS, "complete")
    ((name, last),) = seen["called"]
    assert (name, last["text"]) == ("complete", TEXTS[-1])


def test_callbacks_are_told_an_error_and_then_no_end(scene: Scene) -> None:
    scene.relay(Telling([*ALL[:2], numbered(error_event("upstream_incomplete"), 3)]))
    seen = scene.call("callBack")
    ((name, error),) = seen["called"]
    assert (name, error["kind"], error["code"]) == ("error", "truncated", "upstream_incomplete")
    assert seen["texts"] == TEXTS[:2]


def test_what_a_callback_throws_comes_as_an_error_and_stops_the_answer(scene: Scene) -> None:
    seen = scene.relay(Telling(ALL, 2, "hold")).call("callBack", leave={"after": 2, "by": "throw"})
    ((name, error),) = seen["called"]
    assert (name, error["message"], seen["state"]) == ("error", "the page's own", "cancelled")
    until(lambda: len(scene.cancels) == 1, 5, "a cancel")


def test_an_error_in_the_callback_of_the_last_chunk_is_not_followed_by_an_end(in_node: Scene) -> None:
    seen = in_node.relay(Telling(MESSAGES, headers=())).call("callBack", leave={"after": 6, "by": "throw"})
    assert ([name for name, _ in seen["called"]], seen["state"]) == (["error"], "complete")


def test_callbacks_hear_nothing_after_the_page_has_left(scene: Scene) -> None:
    seen = scene.relay(Telling(ALL)).call("callBack", leave={"after": 2, "by": "close"})
    assert (seen["texts"], seen["called"]) == (TEXTS[:2], [["left", None]])


@pytest.mark.parametrize("text", [0, 2], ids=["before any text", "behind some text"])
def test_an_error_within_the_answer_is_told_as_the_server_says_it(scene: Scene, text: int) -> None:
    error = numbered(error_event("rate_limit_exceeded", status=429), text + 1)
    seen = scene.relay(Telling([*ALL[:text], error])).read()
    told = {name: seen["error"][name] for name in ("kind", "code", "status", "message", "retryable")}
    kind = "truncated" if text else "refused"
    message = "It is rate_limit_exceeded."
    assert told == {"kind": kind, "code": "rate_limit_exceeded", "status": 429, "message": message, "retryable": False}
    assert scene.asked("GET") == []


ERRORS: dict[str, tuple[bytes, str]] = {
    "messages": (typed("error", error={"type": "overloaded_error", "message": "Too much."}), "overloaded_error"),
    "responses": (typed("error", code="c", message="m", error={"code": "c", "message": "m", "type": "t"}), "c"),
    "a failed response": (
        typed("response.failed", response={"error": {"code": "server_error", "message": "m"}}),
        "server_error",
    ),
    "a word": (data_frame({"error": "It broke."}), ""),
}


@pytest.mark.parametrize("form", ERRORS)
def test_an_error_is_an_error_in_every_form(in_node: Scene, form: str) -> None:
    event, code = ERRORS[form]
    seen = in_node.relay(Telling([event], headers=())).read()
    assert (seen["error"]["name"], seen["error"]["kind"], seen["error"]["code"]) == ("RelayError", "refused", code)
    assert seen["error"]["message"] != ""


@pytest.mark.parametrize("value", [{"choices": []}, None], ids=["JSON", "nothing"])
def test_an_answer_that_is_no_stream_is_told(scene: Scene, value: Any) -> None:
    seen = scene.relay(saying("200 OK", value)).read()
    assert (seen["error"]["kind"], seen["error"]["code"]) == ("refused", "no_event_stream")


def test_a_connection_serves_again_when_its_answer_was_whole(scene: Scene) -> None:
    """Although its end comes a little after the last event, when the page has gone on already."""
    ended = threading.Semaphore(0)

    def late(conn: Connection, request: Request) -> None:
        Telling(ALL, ending="open")(conn, request)
        conn.stall(0.05)
        conn.send(LAST_CHUNK)
        ended.release()

    scene.relay(late)
    for _ in range(3):
        assert scene.read()["state"] == "complete"
        assert ended.acquire(timeout=5)
        time.sleep(0.1)  # until the page's side has seen it
    assert scene.server.accepted <= 2  # a browser may have one for its preflight


def test_a_server_that_never_ends_a_whole_answer_is_left(in_node: Scene) -> None:
    assert in_node.relay(Telling(ALL, ending="hold")).read()["state"] == "complete"
    in_node.server.wait_for_peer_close()
