"""The pool of a running relay: its bounds, whose turn it is, how long a task may take, and what a drain leaves."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.conftest import SHORT_LIMITS
from tests.live.task_callers import Answers, TaskCaller, all_at_once, asked, silent
from tests.web.task_page import assert_in_order

pytest_plugins = ["tests.live.shared_tasks"]

BURST = [30, pytest.param(1500, marks=pytest.mark.soak)]
FIRST_SECONDS_MAX = 2.0
QUEUE_MAX, SECONDS_MAX = 20, 3
Start = Callable[..., RelayProcess]
Say = Callable[..., Answers]


@pytest.fixture(scope="module")
def small(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """One task at a time, and few that wait."""
    environ = {
        **SHORT_LIMITS,
        "RELAY_TASKS__PARALLEL": "1",
        "RELAY_TASKS__QUEUE_MAX": str(QUEUE_MAX),
        "RELAY_TASKS__SECONDS_MAX": str(SECONDS_MAX),
        "RELAY_STREAM__IDLE_SECONDS_MAX": "60",
        "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "60",
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.mark.parametrize("count", BURST)
def test_in_a_burst_each_task_shows_its_first_event_at_once_or_is_refused_with_a_time(
    small: RelayProcess, answers: Say, count: int
) -> None:
    answer = answers(["a"], hold_after=0)
    tasks = TaskCaller(small.port, small.create_key(f"burst {count}", rpm=0, concurrent=0))
    began = time.monotonic()
    answered = [tasks.ask("POST", "/process", {"prompt": "a", "model": "m"}) for _ in range(count)]
    accepted = [body for status, body in answered if status == 202]
    refused = [(status, body["error"]["code"]) for status, body in answered if status != 202]
    timed_out = (time.monotonic() - began) / SECONDS_MAX
    assert QUEUE_MAX < len(accepted) <= QUEUE_MAX + 2 + timed_out, "those that wait, and those that ran"
    assert set(refused) == {(429, "queue_full")}
    began = time.monotonic()
    first, _ = tasks.read(accepted[-1], "", lambda body: True)
    assert time.monotonic() - began < FIRST_SECONDS_MAX
    assert json.loads(first.partition(b"data: ")[2])["queue_depth"] == QUEUE_MAX - 1
    answer.released.set()
    tasks.wait_for(accepted[-1], "complete", 30)


def test_one_keys_many_tasks_do_not_keep_anothers_waiting(
    small: RelayProcess, upstream: ScriptedUpstream, answers: Say
) -> None:
    answer = answers(["a"], hold_after=1)
    many, one = (TaskCaller(small.port, small.create_key(name, rpm=0, concurrent=0)) for name in ("many", "one"))
    theirs = [many.post(prompt="theirs") for _ in range(10)]
    ours = one.post(prompt="ours")
    answer.released.set()
    one.wait_for(ours, "complete")
    many.wait_for(theirs[-1], "complete")
    prompts = [json.loads(request.body)["messages"][0]["content"] for request in asked(upstream)]
    assert prompts.index("ours") <= 2
    assert len(prompts) == 11


def test_a_task_has_its_time(small: RelayProcess, upstream: ScriptedUpstream) -> None:
    tasks = TaskCaller(small.port, small.create_key("late"))
    upstream.answer(silent)
    task = tasks.post()
    assert_in_order(tasks.follow(task))
    assert tasks.state(task)["error"]["code"] == "deadline_exceeded"
    assert small.wait_for_log_line(route="/v1/tasks", end="deadline")["status"] == 504


def test_in_a_drain_what_runs_has_its_time_without_readers_and_all_else_is_told(
    start_relay: Start, upstream: ScriptedUpstream, answers: Say
) -> None:
    answer = answers(["a", "b"], hold_after=1)
    answer.never_released = b"stays"
    patient = {"RELAY_SERVER__DRAIN_SECONDS": "2", "RELAY_STREAM__IDLE_SECONDS_MAX": "60"}
    relay = start_relay(upstream.base_url, RELAY_TASKS__PARALLEL="2", **patient)
    tasks = TaskCaller(relay.port, relay.create_key("drained", rpm=0, concurrent=0))
    stays, finishes = tasks.post(prompt="stays"), tasks.post(prompt="finishes")
    for task in (stays, finishes):
        tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
    queued = tasks.post()

    def drain() -> None:
        time.sleep(0.3)
        relay.program.signal(signal.SIGTERM)
        time.sleep(1)
        answer.released.set()

    told, told_at_once, _ = all_at_once([partial(tasks.follow, stays), partial(tasks.follow, queued), drain])
    for events in (told, told_at_once):
        assert_in_order(events)
        assert events[-1].data["error"] == "The relay is being restarted."
    assert relay.program.wait(8) == 0
    lines = [(line["end"], line["status"]) for line in relay.log_lines() if line["route"] == "/v1/tasks"]
    assert lines == [("drained", 503), ("done", 200), ("drained", 200)]
