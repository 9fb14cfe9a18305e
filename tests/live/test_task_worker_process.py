"""`python -m relay worker`: tasks that were accepted by the servers and are run by processes of their own."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.live.bench.crew import Crew, crew_of, running_redis
from tests.live.bench.program import Program
from tests.live.bench.relay_process import canonical_lines
from tests.live.bench.waiting import until
from tests.live.task_callers import Answers, TaskCaller, asked
from tests.stores.redis_server import RedisServer
from tests.web.task_page import assert_in_order

LOST_SECONDS_MAX = 15.0


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def crew(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with crew_of(1, redis.url, tmp_path_factory.mktemp("crew")) as crew:
        yield crew


@pytest.fixture
def start_worker(
    crew: Crew, redis: RedisServer, fresh_directory: Callable[[], Path]
) -> Iterator[Callable[..., Program]]:
    """start_worker(): one that has said that it lives."""
    started: list[Program] = []

    def start(**environ: str) -> Program:
        with Redis.from_url(redis.url) as client:
            client.delete("relay:tasks:workers")
            command = [sys.executable, "-m", "relay", "worker"]
            started.append(Program("worker", command, fresh_directory(), {**crew.relay._environ, **environ}))
            started[-1].wait_until(lambda: bool(client.exists("relay:tasks:workers")))
        return started[-1]

    yield start
    for worker in started:
        if worker.exit_code is None:
            worker.stop()
        assert "Traceback" not in worker.stderr()


@pytest.fixture
def tasks(crew: Crew) -> TaskCaller:
    return TaskCaller(crew.relay.port, crew.new_key(rpm=0, concurrent=0))


@pytest.fixture
def answers(crew: Crew) -> Iterator[Callable[..., Answers]]:
    made: list[Answers] = []

    def answers(texts: list[str], hold_after: int | None = None) -> Answers:
        crew.new_round()
        made.append(Answers(texts, hold_after))
        crew.upstream.answer(made[-1].script())
        return made[-1]

    yield answers
    for one in made:
        one.released.set()


def lines_of(worker: Program) -> list[dict[str, Any]]:
    return [line for line in canonical_lines(worker.stdout()) if line["route"] == "/v1/tasks"]


def test_a_worker_runs_what_the_server_accepted_and_may_be_stopped_and_killed(
    crew: Crew, tasks: TaskCaller, answers: Callable[..., Answers], start_worker: Callable[..., Program]
) -> None:
    worker = start_worker()
    answer = answers(["a", "b"], hold_after=1)
    task = tasks.post()
    tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
    assert tasks.state(task)["stage"] == "receiving"
    answer.released.set()
    told = tasks.follow(task)
    assert_in_order(told)
    assert told[-1].data["response"] == "ab"
    until(lambda: len(lines_of(worker)) == 1, 5)
    assert (lines_of(worker)[0]["end"], lines_of(worker)[0]["status"]) == ("done", 200)

    answers(["a", "b"], hold_after=1)
    cancelled = tasks.post()
    tasks.read(cancelled, "", lambda body: b'"chunk":"a"' in body)
    assert tasks.ask("POST", f"/v1/tasks/{cancelled['task_id']}/cancel")[0] == 200
    assert_in_order(tasks.follow(cancelled))
    assert tasks.state(cancelled)["error"]["code"] == "cancelled"

    answer = answers(["a", "b"], hold_after=1)
    finishing = tasks.post()
    tasks.read(finishing, "", lambda body: b'"chunk":"a"' in body)
    worker.signal(signal.SIGTERM)
    time.sleep(0.5)
    assert worker.exit_code is None
    answer.released.set()
    assert worker.wait(10) == 0
    assert tasks.follow(finishing)[-1].data["response"] == "ab"


def test_a_killed_workers_task_is_lost_and_what_waited_is_run_by_another(
    crew: Crew,
    redis: RedisServer,
    tasks: TaskCaller,
    answers: Callable[..., Answers],
    start_worker: Callable[..., Program],
) -> None:
    answer = answers(["a", "b"], hold_after=1)
    worker = start_worker(RELAY_TASKS__PARALLEL="2")
    lost, again = tasks.post(prompt="lost"), tasks.post(prompt="again", retry=True)
    for task in (lost, again):
        tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
    waiting, unwanted = tasks.post(prompt="waiting"), tasks.post(prompt="unwanted")
    assert tasks.ask("POST", f"/v1/tasks/{unwanted['task_id']}/cancel")[0] == 200
    assert [event.data.get("stage") for event in tasks.follow(unwanted)] == ["queued", "failed"]
    worker.signal(signal.SIGKILL)
    killed_at = time.monotonic()
    told = tasks.follow(lost, timeout_seconds=LOST_SECONDS_MAX)
    assert time.monotonic() - killed_at < LOST_SECONDS_MAX
    assert_in_order(told)
    assert tasks.state(lost)["error"]["code"] == "worker_lost"
    line = crew.relay.wait_for_log_line(route="/v1/tasks", error="worker_lost")
    assert (line["status"], line["end"]) == (500, "truncated")
    with Redis.from_url(redis.url, decode_responses=True) as client:
        until(lambda: client.hget(f"task:{lost['task_id']}:status", "stage") == "failed", 5)
    answer.released.set()
    start_worker()
    for task in (waiting, again):
        events = tasks.follow(task)
        assert_in_order(events)
        assert events[-1].data["response"] == "ab"
    prompts = [json.loads(request.body)["messages"][0]["content"] for request in asked(crew.upstream)]
    assert sorted(prompts) == ["again", "again", "lost", "waiting"]


def test_without_a_worker_the_server_runs_its_tasks_itself(
    crew: Crew, redis: RedisServer, tasks: TaskCaller, answers: Callable[..., Answers]
) -> None:
    with Redis.from_url(redis.url) as client:
        until(lambda: not client.exists("relay:tasks:workers"), 10)
    answers(["a"])
    assert tasks.follow(tasks.post())[-1].data["response"] == "a"


def test_a_worker_without_redis_says_what_to_set(crew: Crew) -> None:
    crew.relay._environ.pop("REDIS_URL")
    with pytest.raises(AssertionError, match="set REDIS_URL"):
        crew.relay.command_line("worker")
