"""A mixture of everything that a request may come to, asked by some callers who stay connected."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.many_callers import CHAT, PATIENCE_SECONDS, in_parallel, pause
from tests.live.bench.scripts import (
    CHUNKED,
    DONE,
    Script,
    chat_completion,
    chat_frame,
    error_answer,
    every_request,
    json_answer,
    sse_head,
    usage_frame,
)
from tests.live.bench.wire import LAST_CHUNK, chunk

MESSAGES = [{"role": "user", "content": "Hello"}]
ONE = chat_frame("one")
PAUSE_SECONDS_MAX = 0.2
Ask = Callable[[RawCaller, random.Random, "Keys"], None]


class Keys:
    """The key that may do all, and one whose minute is soon full."""

    def __init__(self, good: str, narrow: str) -> None:
        self.good, self.narrow = good, narrow


def said_by_model(seed: int) -> Script:
    """Answers as its model says, with usage of random numbers of tokens."""
    numbers = itertools.count(seed)

    def answer(conn: Connection, request: Request) -> None:
        dice = random.Random(next(numbers))
        usage = dice.randrange(1, 5_000), dice.randrange(1, 900)
        if request.method == "GET":
            conn.send(json_answer({"object": "list", "data": []}))
        elif b'"fails"' in request.body:
            conn.send(error_answer(dice.choice(["500 No", "429 Busy", "400 Bad"]), "no"))
        elif b'"stream": true' not in request.body:
            tokens = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
            conn.send(json_answer({**chat_completion("Hello"), "usage": tokens}))
        elif b'"breaks"' in request.body:
            conn.send(sse_head(CHUNKED) + chunk(ONE))
            conn.close()
        elif b'"goes-on"' in request.body:
            conn.send(sse_head(CHUNKED) + chunk(ONE))
            conn.stall(30)
        else:
            frames = [ONE, chat_frame("", "stop"), usage_frame(*usage), DONE]
            conn.send(sse_head(CHUNKED) + b"".join(map(chunk, frames)) + LAST_CHUNK)

    return every_request(answer)


def mixed(port: int, keys: Keys, requests: int, callers: int, seed: int) -> Counter[str]:
    """Ask so many requests in all; return how many there were of each kind."""
    turns = range(requests // callers)
    return in_parallel([partial(_caller, port, keys, turns, dice) for dice in _dice(seed, callers)])


def mixed_for(port: int, keys: Keys, seconds: float, callers: int, seed: int) -> Counter[str]:
    """Ask for so long, each caller with pauses; return how many there were of each kind."""
    end = time.monotonic() + seconds
    deeds = [partial(_caller, port, keys, _paced(end, dice), dice) for dice in _dice(seed, callers)]
    return in_parallel(deeds, seconds + PATIENCE_SECONDS)


def _dice(seed: int, count: int) -> list[random.Random]:
    dice = random.Random(seed)
    return [random.Random(dice.getrandbits(32)) for _ in range(count)]


def _paced(end: float, dice: random.Random) -> Iterator[None]:
    while time.monotonic() < end:
        yield
        pause(dice.uniform(0, PAUSE_SECONDS_MAX))


def _caller(port: int, keys: Keys, turns: Iterable[object], dice: random.Random) -> Iterator[str]:
    caller = RawCaller(port)
    for _ in turns:
        kind = dice.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        KINDS[kind][1](caller, dice, keys)
        yield kind
        if caller.closed or kind == "left":
            caller.close()
            caller = RawCaller(port)
    caller.close()


def _post(caller: RawCaller, key: str, model: str, stream: bool) -> None:
    caller.post(CHAT, {"model": model, "messages": MESSAGES, "stream": stream}, key=key)
    caller.read_answer_head(30)
    caller.read_all(30)


def _leave(caller: RawCaller, dice: random.Random, keys: Keys) -> None:
    caller.post(CHAT, {"model": "goes-on", "messages": MESSAGES, "stream": True}, key=keys.good)
    caller.read_answer_head(30)
    caller.read_until(ONE, 30)
    pause(dice.uniform(0, 0.01))
    dice.choice([RawCaller.close, RawCaller.reset])(caller)


def _elsewhere(caller: RawCaller, dice: random.Random, keys: Keys) -> None:
    caller.get(dice.choice(["/v1/models", "/nowhere"]), key=keys.good)
    caller.read_answer_head(30)
    caller.read_all(30)


# How often, and what; one model has a price, one has none.
KINDS: dict[str, tuple[int, Ask]] = {
    "stream": (30, lambda caller, dice, keys: _post(caller, keys.good, "gpt-test", stream=True)),
    "json": (25, lambda caller, dice, keys: _post(caller, keys.good, "gpt-test", stream=False)),
    "no price": (10, lambda caller, dice, keys: _post(caller, keys.good, "gpt-other", stream=dice.random() < 0.5)),
    "no key": (5, lambda caller, dice, keys: _post(caller, dice.choice(["", "rk_nobody"]), "gpt-test", stream=True)),
    "too many": (8, lambda caller, dice, keys: _post(caller, keys.narrow, "gpt-test", stream=False)),
    "failed": (8, lambda caller, dice, keys: _post(caller, keys.good, "fails", stream=dice.random() < 0.5)),
    "broken": (4, lambda caller, dice, keys: _post(caller, keys.good, "breaks", stream=True)),
    "left": (5, _leave),
    "elsewhere": (5, _elsewhere),
}
