"""Streams that can be resumed, on four workers with Redis: whichever worker a caller comes back to, nothing is lost."""

import json
import random
from collections.abc import Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.many_callers import in_parallel
from tests.live.bench.returning import (
    ASK,
    CHAT,
    PATIENCE_SECONDS,
    Counting,
    Taken,
    ask_again,
    begin,
    come_back,
    read_with_cuts,
    state_of,
)
from tests.live.bench.waiting import until
from tests.live.bench.workers import one_caller_each

SEED = 20_261_121
CUTS = [40, pytest.param(200, marks=pytest.mark.soak)]
FRAMES = 2_000
FOLLOWERS = 7


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    directory = tmp_path_factory.mktemp("streams")
    with running_redis() as redis, crew_of(WORKERS, redis.url, directory) as crew:
        yield crew


@pytest.fixture
def key(crew: Crew) -> str:
    crew.new_round()
    return crew.new_key(rpm=1_000_000, concurrent=10_000)


@pytest.mark.parametrize("cuts", CUTS)
def test_a_caller_that_is_cut_again_and_again_reads_every_frame_once(crew: Crew, key: str, cuts: int) -> None:
    dice = random.Random(SEED)
    counting = Counting(FRAMES, burst=FRAMES // cuts, pause_seconds=0.015)
    crew.upstream.answer(counting.script)
    points = sorted(dice.sample(range(1, FRAMES), cuts))
    taken = read_with_cuts([crew.relay.port], key, points, dice)
    assert (taken.texts, taken.is_whole, counting.calls) == (counting.texts, True, 1)
    text = "".join(counting.texts)  # another worker's copy is a few milliseconds late
    until(lambda: state_of(crew.relay.port, key, taken.stream_id)["text"] == text, what="its text")


def test_followers_who_join_anywhere_at_once_read_the_same(crew: Crew, key: str) -> None:
    """One on each worker, and three more."""
    counting = Counting(FRAMES, burst=20, pause_seconds=0.01)
    crew.upstream.answer(counting.script)
    dice = random.Random(SEED)
    with begin(crew.relay.port, key) as caller, one_caller_each(crew.relay, WORKERS, key) as four:
        first = Taken().read(caller, 400)
        more = [RawCaller(crew.relay.port, key=key) for _ in range(FOLLOWERS - WORKERS)]
        offsets = [dice.randrange(400) for _ in range(FOLLOWERS)]
        taken = [Taken(first.stream_id, seq=offset) for offset in offsets]
        pairs = list(zip([*four.values(), *more], taken, strict=True))
        assert in_parallel([lambda pair=pair: follow(*pair) for pair in pairs]) == {"whole": FOLLOWERS}
    for offset, each in zip(offsets, taken, strict=True):
        assert each.texts == counting.texts[offset:]
    assert counting.calls == 1


def follow(caller: RawCaller, taken: Taken) -> list[str]:
    ask_again(caller, taken)
    whole = taken.read(caller).is_whole and caller.ended_cleanly
    caller.close()
    return ["whole" if whole else "cut"]


def test_identical_posts_with_one_idempotency_key_are_one_call_and_one_answer(crew: Crew, key: str) -> None:
    counting = Counting(200, burst=10, pause_seconds=0.01)
    crew.upstream.answer(counting.script)
    answers: list[Taken] = []

    def ask() -> list[str]:
        with begin(crew.relay.port, key, ("Idempotency-Key", "once")) as caller:
            answers.append(Taken().read(caller))
        return ["read"]

    in_parallel([ask] * 10)
    assert counting.calls == 1
    assert {each.stream_id for each in answers} == {answers[0].stream_id}
    assert [each.texts for each in answers] == [counting.texts] * 10
    assert refusal_of_another_body(crew, key) == {422}


def refusal_of_another_body(crew: Crew, key: str) -> set[int]:
    """On whichever worker."""
    with one_caller_each(crew.relay, WORKERS, key) as callers:
        for caller in callers.values():
            caller.post(CHAT, {**ASK, "temperature": 1}, [("Idempotency-Key", "once")])
        return {caller.read_head()[0] for caller in callers.values()}


def test_a_cancel_on_another_worker_stops_the_upstream_at_once(crew: Crew, key: str) -> None:
    counting = Counting(100, burst=1, pause_seconds=0.01, stop_at=20)
    crew.upstream.answer(counting.script)
    with begin(crew.relay.port, key) as caller, one_caller_each(crew.relay, WORKERS, key) as others:
        taken = Taken().read(caller, 10)
        asked = list(others.values())
        for other in asked:
            other.post(f"/v1/streams/{taken.stream_id}/cancel", {})
            assert other.read_head()[0] == 200
            other.read_all()
        crew.upstream.wait_for_peer_close(timeout_seconds=1.0)
        for frame in caller.frames(PATIENCE_SECONDS):
            taken.take(frame)
    assert (taken.error, taken.is_whole) == ("cancelled", False)
    for _ in range(2 * WORKERS):
        assert state_of(crew.relay.port, key, taken.stream_id)["status"] == "cancelled"
        with come_back(crew.relay.port, key, Taken(taken.stream_id, seq=taken.seq)) as again:
            assert again.read_head()[0] == 204


def test_what_is_forgotten_on_one_worker_is_unknown_to_all(crew: Crew, key: str) -> None:
    counting = Counting(10, burst=10, pause_seconds=0)
    crew.upstream.answer(counting.script)
    with begin(crew.relay.port, key) as caller:
        taken = Taken().read(caller)
    with one_caller_each(crew.relay, WORKERS, key) as callers:
        _, *others = asked = list(callers.values())
        assert statuses(others, "GET", taken.stream_id) == [200] * (WORKERS - 1)
        assert statuses(asked[:1], "DELETE", taken.stream_id) == [204]
        assert statuses(asked[:1], "GET", taken.stream_id) == [404]
        until(lambda: statuses(others, "GET", taken.stream_id) == [404] * (WORKERS - 1), 5.0, "404 everywhere")


def statuses(callers: list[RawCaller], method: str, stream_id: str) -> list[int]:
    found = []
    for caller in callers:
        caller.request(method, f"/v1/streams/{stream_id}")
        found.append(caller.read_head()[0])
        caller.read_all()
    return found


def test_all_streams_of_a_key_are_listed_on_every_worker(crew: Crew, key: str) -> None:
    crew.upstream.answer(Counting(5, burst=5, pause_seconds=0).script)
    names = []
    for _ in range(6):
        with begin(crew.relay.port, key) as caller:
            names.append(Taken().read(caller).stream_id)
    with one_caller_each(crew.relay, WORKERS, key) as callers:
        for caller in callers.values():
            caller.get("/v1/streams")
            caller.read_head()
            listed = json.loads(caller.read_all())["data"]
            assert [each["id"] for each in listed] == names
