"""relay-client.js keeps to 5 at once and 60 a minute: who is beyond it waits for its turn, and may give up."""

from tests.live.client_scene import Scene
from tests.live.scripted_relay import Telling, answer_of, refusing

pytest_plugins = ["tests.live.shared_client"]

WHOLE = Telling(answer_of())
FASTER = 200
MINUTE_MS = 60_000  # of the page's time, which is 0.3 s of ours


def test_no_more_than_five_are_inside_and_none_is_forgotten(scene: Scene) -> None:
    scene.call("client")
    scene.call("hurry", times=FASTER)
    seen = scene.call("enter", count=23, stayMs=2)
    assert seen["most"] == 5
    assert [number for number, _ in seen["order"]] == [*range(23)]


def test_the_sixty_first_waits_until_a_minute_after_the_first(scene: Scene) -> None:
    scene.call("client")
    scene.call("hurry", times=FASTER)
    times = [at for _, at in scene.call("enter", count=70)["order"]]
    assert times[59] < MINUTE_MS <= times[60]
    assert times[69] < 2 * MINUTE_MS


def test_who_gives_up_does_not_stand_in_the_way(scene: Scene) -> None:
    assert scene.call("enterAndGiveUp") == ["gave up", "in", "gave up"]


def test_streams_wait_for_each_other(scene: Scene) -> None:
    scene.relay(WHOLE, atOnce=2)
    assert [one["state"] for one in scene.call("readMany", count=7)] == ["complete"] * 7
    assert len(scene.asked("POST")) == 7


def test_an_attempt_to_ask_again_counts_in_the_minute(scene: Scene) -> None:
    scene.relay(refusing("429 No", "x", "retry-after-ms: 1"), WHOLE, perMinute=2, stallSeconds=1e5)
    scene.call("hurry", times=FASTER)
    begun = scene.call("now")
    scene.read()
    assert scene.call("now") - begun < MINUTE_MS
    scene.read()
    assert scene.call("now") - begun >= MINUTE_MS
    assert len(scene.asked("POST")) == 3
