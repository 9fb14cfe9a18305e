"""relay-client.js leaves: a cancel reaches the upstream, a close does not, and nothing is sent or given afterwards."""

import threading
from typing import Any

import pytest

from tests.live.bench.conversation import Connection, Request
from tests.live.bench.waiting import until
from tests.live.client_scene import Scene
from tests.live.scripted_relay import CANCEL_PATH, SOON, TEXTS, Telling, answer_of, refusing

pytest_plugins = ["tests.live.shared_client"]

ALL = answer_of()
HELD = Telling(ALL, 2, "hold")
WAYS_TO_CANCEL = ["cancel", "abort", "break"]


def assert_left(seen: Any, by: str) -> None:
    """An abort is thrown, as the platform has it; the others just end the loop."""
    assert seen["state"] == ("closed" if by == "close" else "cancelled")
    assert seen["error"] is None if by != "abort" else seen["error"]["name"] == "AbortError"


@pytest.mark.parametrize("by", WAYS_TO_CANCEL)
def test_a_cancel_stops_the_answer_where_it_is_made(scene: Scene, by: str) -> None:
    seen = scene.relay(HELD).read(leave={"after": 2, "by": by})
    assert_left(seen, by)
    until(lambda: len(scene.cancels) == 1, 5, "a cancel")
    (cancel,) = scene.cancels
    assert (cancel.path, cancel.body, cancel.header("authorization")) == (CANCEL_PATH, b"", None)
    scene.server.wait_for_peer_close()


def test_a_close_just_leaves(scene: Scene) -> None:
    seen = scene.relay(HELD).read(leave={"after": 2, "by": "close"})
    assert_left(seen, "close")
    scene.server.wait_for_peer_close()
    assert scene.cancels == []


@pytest.mark.parametrize("by", ["cancel", "abort", "close"])
def test_nothing_is_given_after_the_page_has_left(scene: Scene, by: str) -> None:
    """Not even what had arrived with the last chunk."""
    seen = scene.relay(Telling([b"".join(ALL)])).read(leave={"after": 3, "by": by})
    assert_left(seen, by)
    assert seen["texts"] == TEXTS[:3]


@pytest.mark.parametrize("by", ["cancel", "abort"])
def test_a_cancel_before_the_first_byte_reaches_the_upstream_all_the_same(scene: Scene, by: str) -> None:
    """The page is let go at once; the request stays until its answer says what is to be stopped."""
    go_on = threading.Event()

    def slow(conn: Connection, request: Request) -> None:
        assert go_on.wait(10)
        HELD(conn, request)

    reading = scene.relay(slow).start()
    until(lambda: len(scene.asked("POST")) == 1, 5, "a request")
    acted = scene.start("act", by=by)
    assert_left(reading.result(5), by)
    assert scene.cancels == []
    go_on.set()
    until(lambda: len(scene.cancels) == 1, 5, "a cancel")
    assert acted.result(5) is (True if by == "cancel" else None)


def test_a_close_before_the_first_byte_leaves_at_once(scene: Scene) -> None:
    reading = scene.relay(lambda conn, _: conn.stall(20)).start()
    until(lambda: len(scene.asked("POST")) == 1, 5, "a request")
    scene.call("act", by="close")
    assert_left(reading.result(5), "close")
    scene.server.wait_for_peer_close()
    assert scene.cancels == []


@pytest.mark.parametrize("by", ["cancel", "abort", "close"])
def test_a_page_that_leaves_during_a_pause_does_not_wait_for_its_end(scene: Scene, by: str) -> None:
    scene.relay(Telling([event.replace(SOON, b"retry: 30000\n") for event in ALL], 2))
    reading = scene.start()
    until(lambda: scene.call("state") == "resuming", 5, "a pause")
    scene.call("act", by=by)
    assert_left(reading.result(5), by)
    assert scene.asked("GET") == []
    until(lambda: len(scene.cancels) == (by != "close"), 5, "a cancel")


def test_a_signal_that_was_aborted_before_sends_nothing(scene: Scene) -> None:
    scene.relay(HELD).call("abortFirst")
    seen = scene.read()
    assert (seen["state"], seen["error"]["message"]) == ("cancelled", "the page's reason")
    assert scene.server.requests == []


def test_a_cancel_tells_whether_it_was_confirmed_and_is_one(scene: Scene) -> None:
    reading = scene.relay(HELD).start()
    until(lambda: scene.call("seen") == 2, 5, "two chunks")
    assert [scene.call("act", by="cancel") for _ in range(2)] == [True, False]
    reading.result(5)
    assert len(scene.cancels) == 1


def test_a_cancel_that_does_not_arrive_is_told_and_not_thrown(scene: Scene) -> None:
    reading = scene.relay(HELD).start()
    until(lambda: scene.call("seen") == 2, 5, "two chunks")
    scene.server.answer(lambda conn: conn.close())
    assert scene.call("act", by="cancel") is False
    assert reading.result(5)["state"] == "cancelled"


def test_one_that_cannot_be_resumed_is_stopped_by_leaving(scene: Scene) -> None:
    plain = Telling(ALL, 2, "hold", headers=())
    assert scene.relay(plain).read(leave={"after": 2, "by": "cancel"})["state"] == "cancelled"
    scene.server.wait_for_peer_close()
    assert scene.cancels == []


def test_what_is_complete_is_not_cancelled(scene: Scene) -> None:
    scene.relay(Telling(ALL)).read()
    assert scene.call("act", by="cancel") is False
    scene.call("act", by="abort")
    assert scene.cancels == []


def test_leaving_the_loop_at_the_last_chunk_cancels_nothing_when_it_was_the_last(scene: Scene) -> None:
    events = [*ALL[:2], ALL[2].replace(b"data: ", b'data: {"type":"message_stop"}\nwas: ')]
    seen = scene.relay(Telling(events)).read(leave={"after": 3, "by": "break"})
    assert (seen["state"], scene.cancels) == ("complete", [])


@pytest.mark.parametrize("by", ["cancel", "abort", "close", "break"])
def test_a_place_is_given_back(scene: Scene, by: str) -> None:
    scene.relay(HELD, Telling(ALL), atOnce=1).read(leave={"after": 2, "by": by})
    scene.call("newSignal")
    assert scene.read()["state"] == "complete"


def test_a_place_is_given_back_by_who_is_refused_and_by_who_waits_to_ask_again(in_node: Scene) -> None:
    refused = refusing("429 No", "too_many_streams", "retry-after-ms: 500")
    in_node.relay(refusing("400 No", "invalid_request"), refused, Telling(ALL), atOnce=1)
    assert in_node.read()["state"] == "failed"
    waiting = in_node.start()
    until(lambda: len(in_node.asked("POST")) == 2, 5, "a refusal")
    assert in_node.read()["state"] == waiting.result(5)["state"] == "complete"
    keys = [post.header("idempotency-key") for post in in_node.asked("POST")]
    assert keys == [keys[0], keys[1], keys[2], keys[1]]
    assert len(set(keys)) == 3
