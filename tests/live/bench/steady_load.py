"""A steady trickle of requests in the background, every answer kept: what a passing fault does to callers."""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.live.bench.caller import RawCaller

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello"}]
PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Answered:
    """`code`: of an error answer, else empty. `seconds`: from the request to the whole answer."""

    status: int
    code: str
    is_whole: bool
    sent_at: float
    seconds: float


class SteadyLoad:
    """`answers` of all callers, in no order; an exception of one of them is raised at the end."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.answers: list[Answered] = []
        self.errors: list[BaseException] = []
        self.over = threading.Event()

    @property
    def statuses(self) -> Counter[int]:
        return Counter(each.status for each in self.answers)

    @property
    def are_whole(self) -> bool:
        return all(each.is_whole for each in self.answers)

    def since(self, moment: float) -> list[Answered]:
        """The answers to what was sent after that."""
        return [each for each in self.answers if each.sent_at >= moment]

    def percentile(self, share: float) -> float:
        """Seconds within which that share of all answers came."""
        seconds = sorted(each.seconds for each in self.answers)
        return seconds[min(len(seconds) - 1, int(len(seconds) * share))]

    def ask_on(self, port: int, pause_seconds: float) -> None:
        """One caller: streams and JSON in turn, on one connection."""
        try:
            with RawCaller(port, key=self.key) as caller:
                while not self.over.wait(pause_seconds):
                    self.answers.append(_ask(caller, len(self.answers) % 2 == 0))
        except BaseException as error:
            self.errors.append(error)


@contextlib.contextmanager
def steady_load(port: int, key: str, callers: int = 8, pause_seconds: float = 0.05) -> Iterator[SteadyLoad]:
    """Runs until the block ends."""
    load = SteadyLoad(key)
    threads = [threading.Thread(target=load.ask_on, args=(port, pause_seconds)) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.over.set()
        for thread in threads:
            thread.join(2 * PATIENCE_SECONDS)
    if load.errors:
        raise AssertionError("a caller of the steady load failed") from load.errors[0]


def _ask(caller: RawCaller, stream: bool) -> Answered:
    sent_at = time.monotonic()
    caller.post(CHAT, {"model": "gpt-test", "messages": MESSAGES, "stream": stream})
    head = caller.read_answer_head(PATIENCE_SECONDS)
    body = caller.read_all(PATIENCE_SECONDS)
    code = "" if head.status == 200 else str(json.loads(body)["error"]["code"])
    return Answered(head.status, code, caller.ended_cleanly, sent_at, time.monotonic() - sent_at)
