"""Tasks with several workers on one Redis: posted at one, followed, asked for and ended at any other."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from redis import Redis

from tests.live.bench import workers
from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.waiting import until
from tests.live.cases import CHAT, error_code, last_frame
from tests.live.task_callers import Answers, TaskCaller, all_at_once, asked
from tests.stores.redis_server import RedisServer
from tests.web.task_page import assert_in_order

TEXTS = [f"{number}: Grüße " for number in range(300)]
CUTS = [10, pytest.param(200, marks=pytest.mark.soak)]
LOST_SECONDS_MAX = 15.0


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def crew(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with crew_of(WORKERS, redis.url, tmp_path_factory.mktemp("crew")) as crew:
        yield crew


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


@pytest.mark.parametrize("cuts", CUTS)
def test_a_page_that_is_cut_reads_all_whichever_worker_it_comes_back_to(
    crew: Crew, tasks: TaskCaller, answers: Callable[..., Answers], cuts: int
) -> None:
    answers(TEXTS)
    task = tasks.post()
    told = tasks.follow_with_cuts(task, cuts, seed=11, count=len(TEXTS))
    assert_in_order(told)
    assert told[-1].data["response"] == "".join(TEXTS)
    assert len(asked(crew.upstream)) == 1
    states = all_at_once([partial(tasks.state, task)] * 8)
    assert {state["result"] for state in states} == {"".join(TEXTS)}


def test_each_step_is_in_redis_and_published(
    redis: RedisServer, tasks: TaskCaller, answers: Callable[..., Answers]
) -> None:
    answer, name = answers(["a", "b"], hold_after=1), "0b7a0270-f94c-4eb8-aab4-527ace6f7802"
    with Redis.from_url(redis.url, decode_responses=True) as client, client.pubsub() as listener:
        listener.subscribe(f"task:{name}:progress")
        task = tasks.post(task_id=name)
        tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
        until(lambda: client.hget(f"task:{name}:status", "stage") == "receiving", 5)
        answer.released.set()
        events = tasks.follow(task)
        said, deadline = [], time.monotonic() + 10
        while len(said) < len(events) and time.monotonic() < deadline:
            message = listener.get_message(timeout=0.5)
            if message is not None and message["type"] == "message":
                said.append(json.loads(message["data"]))
        assert [step.get("chunk") for step in said] == [event.data.get("chunk") for event in events]
        assert {step["task_id"] for step in said} == {name}
        assert client.hgetall(f"task:{name}:status")["progress"] == "100"


def test_a_cancel_reaches_the_worker_that_runs_it(
    crew: Crew, tasks: TaskCaller, answers: Callable[..., Answers]
) -> None:
    answers(["a", "b"], hold_after=1)
    task = tasks.post()
    tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
    for _ in range(WORKERS):
        assert tasks.ask("POST", f"/v1/tasks/{task['task_id']}/cancel")[0] == 200
    crew.upstream.wait_for_peer_close(1, 2.0)
    assert_in_order(tasks.follow(task))
    assert tasks.state(task)["error"]["code"] == "cancelled"


def test_ten_posts_at_once_under_one_name_are_one_task(
    crew: Crew, tasks: TaskCaller, answers: Callable[..., Answers]
) -> None:
    answers(["a"])
    name = "1b7a0270-f94c-4eb8-aab4-527ace6f7802"
    posted = all_at_once([partial(tasks.post, task_id=name)] * 10)
    for events in all_at_once([partial(tasks.follow, task) for task in posted]):
        assert_in_order(events)
        assert events[-1].name == "complete"
    assert len(asked(crew.upstream)) == 1


def listed(crew: Crew) -> list[dict[str, object]]:
    return list(json.loads(crew.relay.command_line("streams", "list", "--json")))


def test_the_operator_sees_all_that_runs_and_can_end_each(crew: Crew, answers: Callable[..., Answers]) -> None:
    answers(["a"], hold_after=1)
    key = crew.new_key(rpm=0, concurrent=0)
    body = {"model": "held", "stream": True}
    with ExitStack() as stack:
        callers = [stack.enter_context(RawCaller(crew.relay.port, key=key)) for _ in range(2)]
        for number, caller in enumerate(callers):
            caller.post(CHAT, body, [("Relay-Resume", str(number)), ("X-Request-Id", f"request-{number}")])
            assert caller.read_head()[0] == 200
        task = TaskCaller(crew.relay.port, key).post(model="held")
        until(lambda: len(listed(crew)) == 3, 10)
        streams = listed(crew)
        assert {stream["worker"] for stream in streams} <= set(crew.relay.worker_pids())
        assert sorted(str(stream["id"])[:3] for stream in streams) == ["req", "rs_", "rs_"]
        assert {(stream["model"], stream["route"]) for stream in streams} == {("held", CHAT), ("held", "/v1/tasks")}
        for stream in streams:
            crew.relay.command_line("streams", "cancel", str(stream["id"]))
        for caller in callers:
            assert error_code(last_frame(caller.read_all())) == "cancelled"
    tasks = TaskCaller(crew.relay.port, key)
    assert tasks.wait_for(task, "failed")["error"]["code"] == "cancelled"
    with pytest.raises(AssertionError, match="nothing with the id 'request-0' runs here"):
        crew.relay.command_line("streams", "cancel", "request-0")


def test_a_task_whose_worker_is_killed_is_lost_and_not_run_again(
    crew: Crew, redis: RedisServer, tasks: TaskCaller, answers: Callable[..., Answers]
) -> None:
    answers(["a", "b"], hold_after=1)
    task = tasks.post()
    tasks.read(task, "", lambda body: b'"chunk":"a"' in body)
    [running] = listed(crew)
    began = time.monotonic()
    workers.kill_worker(crew.relay, int(str(running["worker"])))
    assert listed(crew) == [], "a killed worker's socket says nothing"
    events = tasks.follow(task, timeout_seconds=LOST_SECONDS_MAX)
    assert_in_order(events)
    assert time.monotonic() - began < LOST_SECONDS_MAX
    state = tasks.state(task)
    assert (state["stage"], state["error"]["code"]) == ("failed", "worker_lost")
    line = crew.relay.wait_for_log_line(LOST_SECONDS_MAX, route="/v1/tasks", error="worker_lost")
    assert (line["status"], line["end"]) == (500, "truncated")
    with Redis.from_url(redis.url, decode_responses=True) as client:
        until(lambda: client.hget(f"task:{task['task_id']}:status", "stage") == "failed", 5)
    time.sleep(0.5)
    assert sum(line["error"] == "worker_lost" for line in crew.relay.log_lines()) == 1
    assert len(asked(crew.upstream)) == 1
