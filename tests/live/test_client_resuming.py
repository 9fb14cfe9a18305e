"""relay-client.js comes back: whatever breaks its connection, the answer is read once and whole, and paid once."""

from typing import Any

import pytest

from tests.live.bench.scripts import chat_frame
from tests.live.client_scene import Scene
from tests.live.scripted_relay import (
    EVENTS_PATH,
    SOON,
    STREAM,
    TEXTS,
    Telling,
    answer_of,
    error_event,
    hanging_up,
    numbered,
    refusing,
    saying,
)

pytest_plugins = ["tests.live.shared_client"]

ALL = answer_of()
IDS = [f"{STREAM}:{seq}" for seq in range(1, len(TEXTS) + 1)]
NOTHING = Telling([], before=SOON + b"\n")  # as the relay asks an EventSource to come back later
SILENT = [event.replace(SOON, b"") for event in ALL]
BACKOFF_MS = [1000, 2000, 4000, 8000, 16000]
STALL_MS = 100_000_000
PATIENT = {"stallSeconds": STALL_MS / 1000}


def assert_whole(scene: Scene, seen: Any) -> None:
    assert (seen["error"], seen["state"], seen["texts"], seen["ids"]) == (None, "complete", TEXTS, IDS)
    assert len(scene.asked("POST")) == 1


def assert_truncated(seen: Any, code: str, texts: int = 2) -> None:
    """What came is there, and the page is told that it is not all."""
    assert (seen["error"]["kind"], seen["error"]["code"]) == ("truncated", code)
    assert (seen["state"], seen["texts"]) == ("failed", TEXTS[:texts])


def last_event_ids(scene: Scene) -> list[str | None]:
    return [get.header("last-event-id") for get in scene.asked("GET")]


@pytest.mark.parametrize("ending", ["eof", "cut", "reset"])
def test_an_answer_that_breaks_behind_each_event_is_read_whole(scene: Scene, ending: str) -> None:
    seen = scene.relay(Telling(ALL, 1, ending)).read()
    assert_whole(scene, seen)
    assert {get.path for get in scene.asked("GET")} == {EVENTS_PATH}
    if ending == "eof":  # the others may take away what was not read yet, which is then told again
        assert last_event_ids(scene) == IDS


def test_an_answer_that_breaks_within_an_event_is_read_whole(scene: Scene) -> None:
    for bytes_more in range(1, len(ALL[2]), 11):
        scene.server.forget()
        assert_whole(scene, scene.relay(Telling(ALL, 2, bytes_more=bytes_more), Telling(ALL)).read())
        assert last_event_ids(scene) == IDS[1:2]


def test_one_that_breaks_before_the_first_event_is_read_from_the_start(scene: Scene) -> None:
    scene.relay(Telling(ALL, 0, before=SOON + b"\n"), Telling(ALL))
    assert_whole(scene, scene.read())
    assert last_event_ids(scene) == [None]


def test_coming_back_needs_no_token_and_no_key(scene: Scene) -> None:
    scene.relay(Telling(ALL, 3), Telling(ALL)).read()
    (get,) = scene.asked("GET")
    assert (get.header("authorization"), get.header("idempotency-key"), get.body) == (None, None, b"")


def test_events_that_come_twice_are_given_once(scene: Scene) -> None:
    again = [ALL[1], ALL[0], *ALL[1:4], ALL[2], *ALL[4:]]
    assert_whole(scene, scene.relay(Telling([ALL[0], *again]), Telling(ALL)).read())
    assert scene.asked("GET") == []


def test_a_gap_is_closed_by_coming_back(scene: Scene) -> None:
    assert_whole(scene, scene.relay(Telling([*ALL[:2], *ALL[3:]], ending="hold"), Telling(ALL)).read())
    assert last_event_ids(scene) == IDS[1:2]
    scene.server.wait_for_peer_close()  # the connection that had it goes


def test_a_gap_that_stays_is_told(scene: Scene) -> None:
    scene.relay(Telling(ALL, 2), Telling([*ALL[:2], *ALL[3:]]))
    assert_truncated(scene.read(), "event_missing")


def test_an_event_of_another_stream_is_not_taken(scene: Scene) -> None:
    stranger = numbered(chat_frame("not ours"), 3, "rs_" + "z" * 22)
    assert_whole(scene, scene.relay(Telling([*ALL[:2], stranger]), Telling(ALL)).read())


def test_silence_ends_a_connection(scene: Scene) -> None:
    scene.relay(Telling(ALL, 2, "hold"), Telling(ALL), stallSeconds=0.3)
    assert_whole(scene, scene.read())
    assert last_event_ids(scene) == IDS[1:2]
    scene.server.wait_for_peer_close()


def test_heartbeats_are_life(scene: Scene) -> None:
    scene.relay(Telling(ALL, 2, "pings"), stallSeconds=0.3)
    reading = scene.start()
    with pytest.raises(TimeoutError):
        reading.result(0.7)
    assert scene.asked("GET") == []
    scene.call("act", by="close")
    assert reading.result(5)["state"] == "closed"


def test_a_page_that_takes_its_time_is_not_silence(in_node: Scene) -> None:
    """Nobody reads meanwhile, so nothing can come."""
    in_node.relay(Telling(ALL), stallSeconds=0.2)
    assert_whole(in_node, in_node.read(idleMs=500))
    assert in_node.asked("GET") == []


def test_nothing_more_to_come_is_the_end(scene: Scene) -> None:
    seen = scene.relay(Telling(ALL, len(TEXTS)), saying("204 No Content")).read()
    assert_whole(scene, seen)


@pytest.mark.parametrize(("status", "code"), [("410 Gone", "events_evicted"), ("404 Not Found", "stream_not_found")])
def test_what_is_not_kept_any_more_is_told(in_node: Scene, status: str, code: str) -> None:
    seen = in_node.relay(Telling(ALL, 2), refusing(status, code)).read()
    assert_truncated(seen, code)
    told = [seen["error"][name] for name in ("status", "message", "requestId", "retryable")]
    assert told == [int(status[:3]), f"It is {code}.", "req_1", False]
    assert len(in_node.asked("GET")) == 1


@pytest.mark.parametrize(
    "status", ["408 Request Timeout", "429 Too Many Requests", "503 Service Unavailable", "502 Bad"]
)
def test_what_may_pass_is_waited_for(in_node: Scene, status: str) -> None:
    in_node.relay(Telling(ALL, 2), refusing(status, "draining", "retry-after-ms: 30"), Telling(ALL))
    assert_whole(in_node, in_node.read())
    assert last_event_ids(in_node) == IDS[1:2] * 2


def test_what_shall_not_be_asked_again_is_not(scene: Scene) -> None:
    scene.relay(Telling(ALL, 2), refusing("503 No", "some_error", "x-should-retry: false"))
    assert_truncated(scene.read(), "some_error")
    assert len(scene.asked("GET")) == 1


def test_five_attempts_without_anything_new_are_enough(scene: Scene) -> None:
    assert_truncated(scene.relay(Telling(ALL, 2), NOTHING).read(), "connection_lost")
    assert last_event_ids(scene) == IDS[1:2] * 5
    assert len(scene.asked("POST")) == 1


def test_anything_new_makes_them_five_again(in_node: Scene) -> None:
    breaks = [Telling(ALL, 1), *[NOTHING] * 4] * len(ALL)
    assert_whole(in_node, in_node.relay(*breaks).read())


def test_the_server_says_when_to_come_back(scene: Scene) -> None:
    """It replaces the first second, and is kept over connections."""
    scene.relay(Telling(ALL, 1), Telling(ALL, 1, before=b"retry: 300\n\n"), Telling(ALL, 0), Telling(ALL), **PATIENT)
    assert_whole(scene, hurried(scene))
    assert waits_before_attempts(scene) == [1, 300, 600]


def test_without_a_word_it_is_waited_for_longer_each_time(scene: Scene) -> None:
    scene.relay(Telling(SILENT, 2), Telling(SILENT, 0), **PATIENT)
    assert_truncated(hurried(scene), "connection_lost")
    assert waits_before_attempts(scene) == BACKOFF_MS


def test_the_wait_is_bounded_and_spread(in_node: Scene) -> None:
    in_node.relay(Telling(SILENT, 2, before=b"retry: 9999999\n\n"), Telling(SILENT, 0), **PATIENT)
    assert_truncated(hurried(in_node, chance=0.5), "connection_lost")
    assert waits_before_attempts(in_node) == [30_500] * 5


def hurried(scene: Scene, chance: float = 0.0) -> Any:
    scene.call("hurry", times=500, chance=chance)
    return scene.read()


def waits_before_attempts(scene: Scene) -> list[float]:
    """All but those for silence."""
    return [wait for wait in scene.call("waits") if wait != STALL_MS]


def test_a_server_that_is_gone_for_a_while_is_found_again(scene: Scene) -> None:
    assert_whole(scene, scene.relay(Telling(ALL, 2), hanging_up, hanging_up, Telling(ALL)).read())


def test_a_server_that_stays_away_is_told_as_the_networks_failure(scene: Scene) -> None:
    seen = scene.relay(Telling(ALL, 2), hanging_up).read()
    assert (seen["error"]["kind"], seen["error"]["code"], seen["texts"]) == ("network", "connection_lost", TEXTS[:2])
    assert len(scene.asked("GET")) >= 5  # a browser may ask once more by itself
    assert len(scene.asked("POST")) == 1


def test_a_restarting_relay_is_come_back_to(scene: Scene) -> None:
    scene.relay(Telling([*ALL[:2], error_event("relay_draining")], ending="cut"), Telling(ALL))
    assert_whole(scene, scene.read())


def test_an_answer_that_the_restart_has_ended_is_not(scene: Scene) -> None:
    scene.relay(Telling([*ALL[:2], numbered(error_event("relay_draining"), 3)]))
    assert_truncated(scene.read(), "relay_draining")
    assert scene.asked("GET") == []


def test_without_a_place_to_come_back_to_a_broken_answer_is_told(scene: Scene) -> None:
    plain = list(map(chat_frame, TEXTS))
    assert_truncated(scene.relay(Telling(plain, 2, headers=())).read(), "connection_lost")
    cut = scene.relay(Telling(plain, 2, "cut", headers=())).read()
    assert (cut["error"]["kind"], cut["state"]) == ("truncated", "failed")
    assert scene.asked("GET") == []


def test_a_stream_that_was_left_is_found_by_another_page(scene: Scene) -> None:
    left = scene.relay(Telling(ALL, 3, "hold"), Telling(ALL)).read(leave={"after": 3, "by": "close"})
    assert (left["state"], left["texts"], left["error"]) == ("closed", TEXTS[:3], None)
    scene.call("client", baseUrl=scene.base_url)
    seen = scene.call("resume", left=left)
    assert (seen["error"], seen["state"], seen["texts"]) == (None, "complete", TEXTS[3:])
    assert last_event_ids(scene) == IDS[2:3]
    assert len(scene.asked("POST")) == 1


def test_one_that_failed_fails_again(scene: Scene) -> None:
    """The event that told so is not read past: behind it there is nothing, which would look like a whole answer."""
    failed = [*ALL[:2], numbered(error_event("upstream_incomplete"), 3)]
    assert_truncated(scene.relay(Telling(failed)).read(), "upstream_incomplete")
    assert_truncated({**scene.call("resume"), "texts": TEXTS[:2]}, "upstream_incomplete")
