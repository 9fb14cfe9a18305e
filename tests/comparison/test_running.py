"""A run calls what was planned, on each way in turn, and no longer than it may."""

import ssl
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from relay.comparison.calling import Way
from relay.comparison.running import Plan, Runner
from tests.live.bench.conversation import Connection
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunk(b'data: {"choices":[{"delta":{"content":"one"}}]}\n\ndata: [DONE]\n\n')
    + LAST_CHUNK
)


class Crowd:
    """The script of a server that says how many it answered at once at most."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._lock = seconds, threading.Lock()
        self._now = self.most = 0

    def __call__(self, conn: Connection) -> None:
        while True:
            conn.read_request()
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            conn.stall(self._seconds)
            with self._lock:
                self._now -= 1
            conn.send(ANSWER)


@pytest.fixture
def server() -> Iterator[ScriptedUpstream]:
    scripted = ScriptedUpstream().start()
    yield scripted
    scripted.stop()


def ways(server: ScriptedUpstream) -> list[Way]:
    tls = ssl.create_default_context()
    return [Way(name, urlsplit(f"http://127.0.0.1:{server.port}/{name}"), {}, tls) for name in ("relay", "direct")]


def test_each_model_is_called_alone_on_each_way_in_turn_and_then_at_once(server: ScriptedUpstream) -> None:
    server.answer(Crowd(0.0))
    told: list[int] = []
    plan = Plan(["a", "b"], requests=2, output_tokens=7, parallel=3, seconds_max=30)
    run = Runner(plan, ways(server), lambda: told.append(1)).run()
    assert {place: len(calls) for place, calls in run.calls.items()} == {
        (model, kind, way): count
        for model in ("a", "b")
        for kind, count in (("sequential", 2), ("parallel", 3))
        for way in ("relay", "direct")
    }
    assert all(not call.failure for calls in run.calls.values() for call in calls)
    assert (len(told), plan.total(2), run.cut_short) == (20, 20, False)
    paths = [request.path.split("/")[1] for request in server.requests[:4]]
    assert paths == ["relay", "direct", "relay", "direct"]
    asked = server.requests[0].json()
    assert isinstance(asked, dict)
    assert (asked["model"], asked["max_tokens"], asked["stream"]) == ("a", 7, True)
    assert asked["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(("requests", "parallel", "most"), [(2, 0, 1), (1, 5, 5)])
def test_at_once_is_at_once_and_else_one_by_one(
    server: ScriptedUpstream, requests: int, parallel: int, most: int
) -> None:
    crowd = Crowd(0.5)
    server.answer(crowd)
    Runner(Plan(["a"], requests, 7, parallel, 30), ways(server)[:1], lambda: None).run()
    assert crowd.most == most


@pytest.mark.parametrize(("requests", "parallel"), [(1_000, 0), (3, 5)])
def test_a_run_ends_when_its_time_is_up_and_says_so(server: ScriptedUpstream, requests: int, parallel: int) -> None:
    server.answer(Crowd(0.2))
    began = time.monotonic()
    run = Runner(Plan(["a", "b"], requests, 7, parallel, seconds_max=0.5), ways(server)[:1], lambda: None).run()
    assert time.monotonic() - began < 5
    assert run.cut_short
    assert 1 <= len(run.calls["a", "sequential", "relay"]) <= 3
    assert not run.calls.get(("b", "parallel", "relay"))
