"""Many callers at once, each in a thread, and what became of what they asked."""

import json
import queue
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tests.live.bench.caller import RawCaller
from tests.live.bench.wire import Head

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-test", "messages": [{"role": "user", "content": "Hello"}]}
LEAVING = (RawCaller.close, RawCaller.reset, RawCaller.half_close)
PATIENCE_SECONDS = 30.0
# What became of a request: a word of these, or the code of an error answer.
WHOLE, CUT, LEFT = "whole", "cut", "left"
# How many frames a caller of a stream waits for before it leaves; None: it stays to the end.
PHASES = (0, 1, 4, None, None, None)
Deed = Callable[[], Iterable[str]]


def in_parallel(deeds: Iterable[Deed], timeout_seconds: float = 60.0) -> Counter[str]:
    """Do all, each in a thread; count what they say. The first exception of one of them is raised."""
    said: queue.SimpleQueue[list[str] | BaseException] = queue.SimpleQueue()

    def do(deed: Deed) -> None:
        try:
            said.put(list(deed()))
        except BaseException as error:
            said.put(error)

    threads = [threading.Thread(target=do, args=(deed,), daemon=True) for deed in deeds]
    for thread in threads:
        thread.start()
    total = Counter[str]()
    for _ in threads:
        outcome = said.get(timeout=timeout_seconds)
        if isinstance(outcome, BaseException):
            raise outcome
        total.update(outcome)
    return total


def outcome_of(caller: RawCaller, head: Head) -> str:
    """Read the answer to its end, which may come too early: a killed worker cuts refusals too."""
    body = caller.read_all(PATIENCE_SECONDS)
    if not caller.ended_cleanly:
        return CUT
    return WHOLE if head.status == 200 else str(json.loads(body)["error"]["code"])


def asks(caller: RawCaller, times: int) -> Iterator[str]:
    """One JSON answer after the other on one connection."""
    for _ in range(times):
        caller.post(CHAT, BODY)
        yield outcome_of(caller, caller.read_answer_head(PATIENCE_SECONDS))


def ask_or_leave(port: int, key: str, dice: random.Random) -> str:
    """One JSON answer on a connection of its own; one caller in five leaves at some time before it."""
    with RawCaller(port, key=key) as caller:
        try:
            caller.post(CHAT, BODY)
            if dice.random() < 0.2:
                return leave(caller, dice)
            return outcome_of(caller, caller.read_answer_head(PATIENCE_SECONDS))
        except OSError:  # its worker was killed
            return CUT


def stream_at_last(port: int, key: str, dice: random.Random) -> str:
    """Ask for a stream until there is room, then read it to its end, or leave in one of its phases."""
    while True:
        with RawCaller(port, key=key) as caller:
            try:
                outcome = _stream(caller, dice)
            except OSError:
                return CUT
        if outcome not in ("too_many_streams", "store_unavailable"):
            return outcome
        pause(dice.uniform(0.1, 0.5))


def leave(caller: RawCaller, dice: random.Random) -> str:
    pause(dice.uniform(0, 0.03))
    dice.choice(LEAVING)(caller)
    return LEFT


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _stream(caller: RawCaller, dice: random.Random) -> str:
    caller.post(CHAT, {**BODY, "stream": True})
    frames_read = dice.choice(PHASES)
    if frames_read == 0:
        return leave(caller, dice)
    head = caller.read_answer_head(PATIENCE_SECONDS)
    if head.status != 200 or frames_read is None:
        return outcome_of(caller, head)
    frames = caller.frames(PATIENCE_SECONDS)
    for _ in range(frames_read):
        next(frames, None)
    return leave(caller, dice)
