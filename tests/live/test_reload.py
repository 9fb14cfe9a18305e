"""F3, F13: SIGHUP under many live streams. The configuration is swapped in place, in every worker, nothing is cut and
nothing piles up; a broken one changes nothing and is told once.
"""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.bench import procfs
from tests.live.bench.caller import RawCaller
from tests.live.bench.canaries import assert_absent
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.crowd import Counting, Crowd, outcomes
from tests.live.bench.waiting import until
from tests.live.bench.workers import one_caller_each
from tests.live.cases import ASK, CHAT, ask

STREAMS, RELOADS = 200, 10
TOLD_SECONDS_MAX = 15.0
# A worker's pool for its database makes its threads when they are first needed.
LAZY_THREADS_MAX = 4
PREFLIGHT = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "authorization")]


class Files:
    """What an operator edits: the configuration, and the file that the upstream's key stands in."""

    def __init__(self, directory: Path) -> None:
        self.toml, self.key = directory / "relay.toml", directory / "upstream.key"
        self.environ = {"RELAY_CONFIG": str(self.toml), "OPENAI_API_KEY": "", "OPENAI_API_KEY_FILE": str(self.key)}
        self.write(0)

    def write(self, edition: int) -> None:
        prices = f'[models.prices]\n"gpt-test" = {{ input = {edition}, output = {edition} }}'
        text = f'[cors]\norigins = ["{origin(edition)}"]\n{prices}\n[[upstreams]]\nname = "default"\n'
        self._put(self.toml, text)
        self._put(self.key, f"{secret(edition)}\n")

    def _put(self, path: Path, text: str) -> None:
        """As an editor does: whoever reads meanwhile finds the old or the new, never a half."""
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)


@dataclass
class Scene:
    """`callers`: a connection to each worker, by its pid."""

    crew: Crew
    files: Files
    crowd: Crowd
    callers: dict[int, RawCaller]

    def hang_up(self) -> None:
        self.crew.relay.program.signal(signal.SIGHUP)

    def reload(self, level: str = "info") -> list[dict[str, object]]:
        """SIGHUP; return what each worker told once it was done."""
        before = len(self.lines())
        self.hang_up()
        until(lambda: len(self.lines()) >= before + len(self.callers), TOLD_SECONDS_MAX, "a word of each worker")
        lines = self.lines()[before:]
        assert [line["level"] for line in lines] == [level] * len(self.callers)
        return lines

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.crew.relay.stdout().splitlines() if '"where":"reload"' in line]

    def in_force(self, pid: int) -> int | None:
        """The edition that this worker works by: its upstream key, prices and origins, which must agree."""
        caller = self.callers[pid]
        head = ask(caller, ASK)
        caller.read_all()
        assert head.status == 200
        sent = self.crew.upstream.requests[-1].header("authorization")
        line = self.crew.relay.wait_for_log_line(5, request_id=head.header("x-request-id"))
        edition = round(float(str(line["cost_usd"])) * 1e6 / 2)  # one token each way
        assert self._is_allowed(caller, edition)
        assert not self._is_allowed(caller, edition - 1)
        return edition if sent == f"Bearer {secret(edition)}" else None

    def everywhere(self, edition: int) -> bool:
        return all(self.in_force(pid) == edition for pid in self.callers)

    def threads(self) -> int:
        return sum(threads_of(pid) for pid in self.callers)

    def descriptors(self) -> int:
        """Without connections to the upstream, which wait in a pool."""
        relay = self.crew.relay
        return relay.descriptors() - relay.sockets_to(self.crew.upstream.port)

    @staticmethod
    def _is_allowed(caller: RawCaller, edition: int) -> bool:
        caller.request("OPTIONS", CHAT, b"", [("Origin", origin(edition)), *PREFLIGHT])
        head = caller.read_answer_head()
        caller.read_all()
        return head.header("access-control-allow-origin") == origin(edition)


NewScene = Callable[[int], Scene]


@pytest.fixture
def new_scene(tmp_path: Path) -> Iterator[NewScene]:
    with ExitStack() as stack:

        def make(workers: int) -> Scene:
            redis_url = "" if workers == 1 else stack.enter_context(running_redis()).url
            files = Files(tmp_path)
            crew = stack.enter_context(crew_of(workers, redis_url, tmp_path, **files.environ))
            key = crew.new_key(rpm=1_000_000, concurrent=10_000)
            callers = stack.enter_context(one_caller_each(crew.relay, workers, key))
            return Scene(crew, files, stack.enter_context(Crowd(crew.relay.port, key)), callers)

        yield make


@pytest.mark.parametrize("workers", [1, WORKERS], ids=["1 worker", "4 workers"])
def test_ten_reloads_take_force_and_cut_nothing_and_leave_nothing(new_scene: NewScene, workers: int) -> None:
    scene, counting = new_scene(workers), Counting()
    scene.crew.upstream.answer(counting)
    streams = scene.crowd.join(STREAMS)
    pids = scene.crew.relay.worker_pids()
    assert scene.everywhere(0)
    scene.reload()
    threads, descriptors = scene.threads(), scene.descriptors()
    for edition in range(1, RELOADS + 1):
        scene.files.write(edition)
        assert [line["restart_needed"] for line in scene.reload()] == [[]] * workers
        assert scene.everywhere(edition)
    assert scene.threads() <= threads + LAZY_THREADS_MAX * workers
    until(lambda: scene.descriptors() <= descriptors, 5, "the end of what the reloads opened")
    counting.release()
    assert outcomes(streams) == {"whole": STREAMS}
    assert scene.crew.relay.worker_pids() == pids


def test_reloads_in_a_row_end_with_the_last_edition(new_scene: NewScene) -> None:
    scene, counting = new_scene(1), Counting()
    scene.crew.upstream.answer(counting)
    streams = scene.crowd.join(STREAMS)
    for edition in range(1, RELOADS + 1):
        scene.files.write(edition)
        scene.hang_up()
    until(lambda: scene.everywhere(RELOADS), TOLD_SECONDS_MAX, "the last edition")
    counting.release()
    assert outcomes(streams) == {"whole": STREAMS}


def test_a_broken_configuration_changes_nothing_and_is_told_once(new_scene: NewScene) -> None:
    scene, counting = new_scene(1), Counting()
    scene.crew.upstream.answer(counting)
    streams = scene.crowd.join(20)
    for text in ("[cors", "[cors]\noriginz = []", "[limits]\nrpm = -1"):
        scene.files.toml.write_text(text)
        [line] = scene.reload("error")
        assert str(scene.files.toml) in str(line["problems"])
        assert scene.everywhere(0)
    scene.files.write(1)
    scene.files.key.unlink()
    [line] = scene.reload("error")
    assert "OPENAI_API_KEY_FILE" in str(line["problems"])
    assert scene.everywhere(0)
    scene.files.write(2)
    scene.reload()
    assert scene.everywhere(2)
    assert [line["level"] for line in scene.lines()] == ["error"] * 4 + ["info"]  # none was told later
    counting.release()
    assert outcomes(streams) == {"whole": 20}


def test_what_needs_a_restart_is_told_and_keys_of_upstreams_stay_secret(new_scene: NewScene) -> None:
    scene = new_scene(1)
    scene.files.write(1)
    text = scene.files.toml.read_text()
    scene.files.toml.write_text(f"[server]\nconnections_per_worker = 500\n{text}")
    [line] = scene.reload()
    assert line["restart_needed"] == ["connections_per_worker"]
    assert scene.everywhere(1)
    outputs = {"stdout": scene.crew.relay.stdout(), "stderr": scene.crew.relay.stderr()}
    assert_absent(outputs, {"the old key": secret(0), "the new key": secret(1)})


def test_connections_of_a_former_edition_serve_the_next_one(new_scene: NewScene) -> None:
    """They lead to the same place; only the key that goes with a request is another."""
    scene = new_scene(1)
    for _ in range(2):
        counting = Counting()
        scene.crew.upstream.answer(counting)
        streams = scene.crowd.join(50)
        scene.reload()
        counting.release()
        assert outcomes(streams) == {"whole": 50}
        until(lambda: scene.crew.upstream.busy == 0, 5, "idle connections")
    assert scene.crew.upstream.accepted <= 55


def threads_of(pid: int) -> int:
    return len(list((procfs.PROC / str(pid) / "task").iterdir()))


def origin(edition: int) -> str:
    return f"https://edition-{edition}.example"


def secret(edition: int) -> str:
    return f"sk-canary-edition-{edition}-5Wq8ZrTn"
