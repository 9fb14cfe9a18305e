"""Tasks on a running relay: what comes first, what each follower reads, and the one end of each."""

import json
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import answering, error_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.cases import ask
from tests.live.task_callers import Answers, TaskCaller, all_at_once, asked, silent
from tests.web.task_page import STAGES, assert_in_order

pytest_plugins = ["tests.live.shared_tasks"]

TEXTS = [f"{number}: Grüße 😀 " for number in range(300)]
CUTS = [20, pytest.param(200, marks=pytest.mark.soak)]


@pytest.fixture
def tasks(relay: RelayProcess, key: str) -> TaskCaller:
    return TaskCaller(relay.port, key)


@pytest.fixture
def one_slot(relay: RelayProcess, request: pytest.FixtureRequest) -> str:
    return relay.create_key(request.node.name[:60], rpm=1_000, concurrent=1)


def test_the_first_event_is_there_before_the_upstream_hears_of_it(
    relay: RelayProcess, upstream: ScriptedUpstream, one_slot: str, answers: Callable[..., Answers]
) -> None:
    answer = answers(["a", "b"], hold_after=1)
    tasks = TaskCaller(relay.port, one_slot)
    with RawCaller(relay.port, key=one_slot) as caller:
        assert ask(caller).status == 200
        task = tasks.post()
        first, _ = tasks.read(task, "", lambda body: True)
        assert json.loads(first.partition(b"data: ")[2])["stage"] == "queued"
        time.sleep(0.5)
        assert len(asked(upstream)) == 1, "its key's only slot is taken"
        answer.released.set()
        caller.read_all()
    assert_in_order(tasks.follow(task))
    assert len(asked(upstream)) == 2


def test_stages_are_told_as_they_happen(
    tasks: TaskCaller, upstream: ScriptedUpstream, answers: Callable[..., Answers]
) -> None:
    answer = answers(["a", "b"], hold_after=1)
    task = tasks.post()
    events, _ = tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
    assert b'"stage":"receiving"' in events
    assert tasks.state(task)["stage"] == "receiving"
    answer.released.set()
    told = tasks.follow(task)
    assert_in_order(told)
    assert [event.data["stage"] for event in told if event.name == "status"] == STAGES
    assert (told[-1].name, told[-1].data["response"], told[-1].data["usage"]["output_tokens"]) == ("complete", "ab", 5)


@pytest.mark.parametrize("cuts", CUTS)
def test_a_page_that_is_cut_at_random_places_reads_all_and_nothing_twice(
    tasks: TaskCaller, upstream: ScriptedUpstream, answers: Callable[..., Answers], cuts: int
) -> None:
    answers(TEXTS)
    task = tasks.post()
    told = tasks.follow_with_cuts(task, cuts, seed=7, count=len(TEXTS))
    assert_in_order(told)
    assert "".join(event.data.get("chunk", "") for event in told) == "".join(TEXTS) == told[-1].data["response"]
    assert told[-2].data["total_length"] == len("".join(TEXTS))
    assert len(asked(upstream)) == 1


def test_seven_followers_from_random_places_read_the_same(
    tasks: TaskCaller, upstream: ScriptedUpstream, answers: Callable[..., Answers]
) -> None:
    answer = answers(TEXTS, hold_after=150)
    task = tasks.post()
    half, _ = tasks.read(task, "", lambda body: body.count(b"event: progress") == 150)
    ids = [line[4:].decode() for line in half.split(b"\n") if line.startswith(b"id: ")]
    following = [partial(tasks.follow, task, after) for after in ("", ids[0], ids[40], ids[77], ids[140], ids[-1], "")]
    answer.released.set()
    read = all_at_once(following)
    whole = read[0]
    assert_in_order(whole)
    for events, first in zip(read, [0, 1, 41, 78, 141, len(ids), 0], strict=True):
        assert events == whole[first:]
    assert len(asked(upstream)) == 1


def test_who_reads_the_end_may_start_the_next_at_once(
    relay: RelayProcess, one_slot: str, answers: Callable[..., Answers]
) -> None:
    answers(["a"])
    tasks = TaskCaller(relay.port, one_slot)
    for turn in range(10):
        assert tasks.follow(tasks.post())[-1].name == "complete"
        with RawCaller(relay.port, key=one_slot) as caller:
            assert ask(caller).status == 200, f"turn {turn}"
            caller.read_all()


def test_an_upstream_that_breaks_off_and_one_that_refuses_fail_once(
    tasks: TaskCaller, upstream: ScriptedUpstream, answers: Callable[..., Answers]
) -> None:
    answers(["a", "b"], hold_after=1)
    broken = tasks.post()
    tasks.read(broken, "", lambda body: b'"chunk":"a"' in body)
    upstream.hang_up()
    upstream.answer(answering(error_answer("500 Oh", "oh")))
    refused = tasks.post()
    for task, code in ((broken, ("upstream_disconnected", "upstream_incomplete")), (refused, ("oh",))):
        told = tasks.follow(task)
        assert_in_order(told)
        state = tasks.state(task)
        assert (told[-1].name, state["stage"]) == ("error", "failed")
        assert state["error"]["code"] in code
        assert told[-1].data == {"error": state["error"]["message"], "stage": "failed"}


def test_a_cancel_stops_the_upstream_and_is_told_once(
    tasks: TaskCaller, relay: RelayProcess, upstream: ScriptedUpstream, answers: Callable[..., Answers]
) -> None:
    answers(["a", "b"], hold_after=1)
    task = tasks.post()
    tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
    for _ in range(2):
        assert tasks.ask("POST", f"/v1/tasks/{task['task_id']}/cancel")[0] == 200
    upstream.wait_for_peer_close(1, 2.0)
    assert_in_order(tasks.follow(task))
    assert tasks.state(task)["error"]["code"] == "cancelled"
    line = relay.wait_for_log_line(route="/v1/tasks", end="cancelled")
    assert (line["status"], line["frames_out"]) == (200, 1)


def test_a_cancel_reaches_a_task_whose_upstream_is_silent(
    tasks: TaskCaller, upstream: ScriptedUpstream, relay: RelayProcess
) -> None:
    upstream.answer(silent)
    task = tasks.post()
    until(lambda: len(asked(upstream)) == 1, 5)
    tasks.wait_for(task, "processing")
    began = time.monotonic()
    assert tasks.ask("POST", f"/v1/tasks/{task['task_id']}/cancel")[0] == 200
    assert_in_order(tasks.follow(task))
    assert time.monotonic() - began < 1.5
    assert relay.wait_for_log_line(route="/v1/tasks", status=499)["end"] == "cancelled"


def test_a_revoked_keys_task_ends(relay: RelayProcess, answers: Callable[..., Answers]) -> None:
    answers(["a", "b"], hold_after=1)
    tasks = TaskCaller(relay.port, relay.create_key("revoked"))
    task = tasks.post()
    tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
    relay.command_line("keys", "revoke", "revoked")
    assert_in_order(tasks.follow(task))
    assert tasks.state(task)["error"]["code"] == "key_revoked"


def test_ten_posts_at_once_under_one_name_are_one_task(
    tasks: TaskCaller, upstream: ScriptedUpstream, answers: Callable[..., Answers]
) -> None:
    answers(["a"])
    name = "0b7a0270-f94c-4eb8-aab4-527ace6f7802"
    posted = all_at_once([partial(tasks.post, task_id=name)] * 10)
    assert {task["task_id"] for task in posted} == {name}
    assert {event.name for task in posted for event in tasks.follow(task)[-1:]} == {"complete"}
    assert len(asked(upstream)) == 1
