"""What the live tests of tasks share: how one is posted, followed, and judged."""

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.scripts import DONE, Script, chat_frame, every_request, json_answer, sse_head, usage_frame
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.web.task_page import Told, told

PROMPT = {"prompt": "Was ist SSE?", "model": "gpt-test"}
TERMINAL = (b"event: complete\n", b"event: failed\n", b"event: error\n")


class Answers:
    """A script: `texts`, a frame each; holds after the `hold_after`th until it is released, for ever where the request
    holds `never_released`.
    """

    def __init__(self, texts: list[str], hold_after: int | None = None) -> None:
        self.texts, self.hold_after, self.released = texts, hold_after, threading.Event()
        self.never_released = b"never"

    def script(self) -> Script:
        def answer(conn: Connection, request: Request) -> None:
            if request.method == "GET":
                return conn.send(json_answer({"object": "list", "data": []}))
            conn.send(sse_head())
            for number, text in enumerate(self.texts):
                if number == self.hold_after:
                    self._hold(conn, request)
                conn.send(chunk(chat_frame(text)))
            if self.hold_after == len(self.texts):
                self._hold(conn, request)
            return conn.send(chunk(chat_frame("", "stop")) + chunk(usage_frame(3, 5)) + chunk(DONE) + LAST_CHUNK)

        return every_request(answer)

    def _hold(self, conn: Connection, request: Request) -> None:
        while not self.released.is_set() or self.never_released in request.body:
            conn.stall(0.02)


class TaskCaller:
    """Posts tasks to a relay with a key, and follows them with their tickets."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key

    def post(self, **members: object) -> dict[str, str]:
        status, body = self.ask("POST", "/process", {**PROMPT, **members})
        assert status == 202, body
        return dict(body)

    def ask(self, method: str, path: str, value: object = None, key: str | None = None) -> tuple[int, Any]:
        with RawCaller(self._port, key=self._key if key is None else key) as caller:
            body = b"" if value is None else json.dumps(value).encode()
            caller.request(method, path, body, [("Content-Type", "application/json")] if body else [])
            status, _ = caller.read_head(20)
            text = caller.read_all(20)
            return status, json.loads(text) if text else None

    def state(self, task: dict[str, str]) -> dict[str, Any]:
        status, body = self.ask("GET", task["status_url"], key="")
        assert status == 200, body
        return dict(body)

    def wait_for(self, task: dict[str, str], stage: str, timeout_seconds: float = 15.0) -> dict[str, Any]:
        until(lambda: self.state(task)["stage"] == stage, timeout_seconds, f"stage {stage}")
        return self.state(task)

    def follow(self, task: dict[str, str], after: str = "", timeout_seconds: float = 20.0) -> list[Told]:
        """To the end."""
        body, _ = self.read(task, after, lambda body: False, timeout_seconds)
        return told(body)

    def read(
        self, task: dict[str, str], after: str, enough: Callable[[bytes], bool], timeout_seconds: float = 20.0
    ) -> tuple[bytes, bool]:
        """Its events behind the one named `after`, until there are enough or it ends; whole frames only, and whether
        it ended.
        """
        headers = [("Last-Event-ID", after)] if after else []
        deadline, body = time.monotonic() + timeout_seconds, b""
        with RawCaller(self._port, key="") as caller:
            caller.get(task["stream_url"], headers)
            status, _ = caller.read_head(timeout_seconds)
            if status == 204:
                return b"", True
            assert status == 200, caller.read_all()
            for frame in caller.frames(deadline - time.monotonic()):
                body += frame
                if enough(body):
                    return body, False
            return body, True

    def follow_with_cuts(self, task: dict[str, str], cuts: int, seed: int, count: int) -> list[Told]:
        """As a page whose connection is cut that often, at random places among about `count` events."""
        dice, body, after = random.Random(seed), b"", ""
        places = sorted(dice.sample(range(1, count), cuts)) + [10**9]
        for place in places:
            more, _ = self.read(task, after, lambda new, place=place, body=body: told_count(body + new) >= place)
            body += more
            after = told(body)[-1].id if body else ""
        return told(body)


def told_count(body: bytes) -> int:
    return body.count(b"\nevent: ")


def all_at_once(work: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(work)) as pool:
        return [each.result(60) for each in [pool.submit(one) for one in work]]


def asked(upstream: ScriptedUpstream) -> list[Request]:
    """What was asked of it for callers; a relay that starts asks for the models."""
    return [request for request in upstream.requests if request.method == "POST"]


def silent(conn: Connection) -> None:
    """Not a byte to any request."""
    conn.read_request()
    conn.wait_closed(20)
