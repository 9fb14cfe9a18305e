"""One Idempotency-Key, one upstream call: ten at once get ten identical answers, another body gets none."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import (
    chat_completion,
    chat_stream,
    error_answer,
    every_request,
    json_answer,
    send_stream,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import Head
from tests.live.cases import ASK, CHAT, MESSAGES, STREAM, Owed, nothing_left, refusal
from tests.live.resuming import asked, calls, kept_by, wait_for_calls

AT_ONCE = 10
WHOLE = json_answer(chat_completion("Hello"))


class Ask(NamedTuple):
    """Under which name what is asked."""

    name: str
    value: object = STREAM


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """What the test calls its request; no other test does."""
    return str(request.node.name)


@pytest.fixture(params=[STREAM, ASK], ids=["stream", "JSON"])
def any_ask(request: pytest.FixtureRequest, name: str) -> Ask:
    return Ask(name, request.param)


@pytest.fixture
def callers(new_caller: Callable[[], RawCaller]) -> list[RawCaller]:
    return [new_caller() for _ in range(AT_ONCE)]


class Late:
    """Answers once it is told to, so that all have asked by then."""

    def __init__(self, answer: Callable[[Connection], None]) -> None:
        self.now = threading.Event()
        self._answer = answer

    def __call__(self, conn: Connection) -> None:
        every_request(self._late)(conn)

    def _late(self, conn: Connection, _: object) -> None:
        self.now.wait(10)
        self._answer(conn)


def ask_at_once(callers: list[RawCaller], upstream: ScriptedUpstream, script: Late, ask: Ask) -> list[Head]:
    """All have come to the relay by the time at which the upstream answers."""
    upstream.answer(script)
    for caller in callers:
        caller.post(CHAT, ask.value, [("Idempotency-Key", ask.name)])
    wait_for_calls(upstream)
    time.sleep(0.2 + 0.02 * len(callers))
    script.now.set()
    return [caller.read_answer_head() for caller in callers]


def streaming(conn: Connection) -> None:
    send_stream(conn, chat_stream("Hello", " world"))


def test_ten_identical_streams_at_once_are_one(
    callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, name: str
) -> None:
    owed.requests = AT_ONCE
    heads = ask_at_once(callers, upstream, Late(streaming), Ask(name, STREAM))
    kept = {kept_by(head).id: kept_by(head) for head in heads}
    assert len(kept) == 1
    bodies = {caller.read_all() for caller in callers}
    assert bodies == {next(iter(kept.values())).frames(chat_stream("Hello", " world"))}
    assert all(caller.ended_cleanly for caller in callers)
    assert calls(upstream) == 1


def test_ten_identical_requests_for_json_at_once_are_one(
    callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, name: str
) -> None:
    owed.requests = AT_ONCE
    heads = ask_at_once(callers, upstream, Late(lambda conn: conn.send(WHOLE)), Ask(name, ASK))
    assert {(head.status, head.header("content-type")) for head in heads} == {(200, "application/json")}
    assert len({head.header("relay-stream-id") for head in heads}) == 1
    assert {caller.read_all() for caller in callers} == {WHOLE.partition(b"\r\n\r\n")[2]}
    assert {head.header("content-length") for head in heads} == {str(len(WHOLE.partition(b"\r\n\r\n")[2]))}
    assert calls(upstream) == 1


def test_later_ones_get_the_same_answer(
    callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, name: str
) -> None:
    owed.requests = AT_ONCE
    assert len({asked(caller, name) for caller in callers}) == 1
    assert calls(upstream) == 1


def test_another_body_is_refused_and_asks_nothing(
    callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, name: str
) -> None:
    owed.requests = 4
    assert asked(callers[0], name)[0] == 200
    others = [ASK, {**STREAM, "temperature": 1}, {**STREAM, "messages": [*MESSAGES, *MESSAGES]}]
    for caller, other in zip(callers[1:4], others, strict=True):
        caller.post(CHAT, other, [("Idempotency-Key", name)])
        assert refusal(caller, caller.read_answer_head()) == (422, "idempotency_mismatch")
    assert calls(upstream) == 1


def test_another_path_is_another_request(
    callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, name: str
) -> None:
    owed.requests = 2
    assert asked(callers[0], name, ASK)[0] == 200
    callers[1].post("/v1/completions", ASK, [("Idempotency-Key", name)])
    assert refusal(callers[1], callers[1].read_answer_head()) == (422, "idempotency_mismatch")


def test_another_keys_name_is_its_own(
    relay: RelayProcess, callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, name: str
) -> None:
    owed.requests = 2
    other = RawCaller(relay.port, key=relay.create_key("another", concurrent=5))
    with other:
        for caller in (callers[0], other):
            assert asked(caller, name)[0] == 200
    assert calls(upstream) == 2


def test_a_name_has_some_characters_and_not_too_many(
    callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed
) -> None:
    owed.requests = 2
    for caller, bad in zip(callers, ["", "x" * 256], strict=False):
        caller.post(CHAT, STREAM, [("Idempotency-Key", bad)])
        assert refusal(caller, caller.read_answer_head()) == (400, "invalid_request"), bad
    assert calls(upstream) == 0


def test_an_upstreams_error_is_shared_by_those_who_wait_and_asked_anew_afterwards(
    callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, any_ask: Ask
) -> None:
    owed.requests = AT_ONCE
    error = error_answer("429 Too Many Requests", "its_own", "Retry-After: 7")
    *waiting, late = callers
    heads = ask_at_once(waiting, upstream, Late(lambda conn: conn.send(error)), any_ask)
    assert {(head.status, head.header("relay-error-source")) for head in heads} == {(429, "upstream")}
    assert {json.loads(caller.read_all())["error"]["code"] for caller in waiting} == {"its_own"}
    assert calls(upstream) == 1
    upstream.answer(every_request(lambda conn, _: conn.send(WHOLE)))
    assert asked(late, *any_ask) == (200, WHOLE.partition(b"\r\n\r\n")[2])
    assert calls(upstream) == 2


def test_a_refusal_of_ours_is_shared_and_asked_anew_afterwards(
    callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, relay: RelayProcess, name: str
) -> None:
    owed.requests = AT_ONCE
    *waiting, late = callers
    heads = ask_at_once(waiting, upstream, Late(lambda conn: conn.send(b"garbage\r\n\r\n")), Ask(name, STREAM))
    refusals = {refusal(caller, head) for caller, head in zip(waiting, heads, strict=True)}
    assert refusals == {(502, "upstream_bad_response")}
    assert calls(upstream) == 1
    upstream.answer(every_request(lambda conn, _: streaming(conn)))
    assert asked(late, name)[0] == 200


def test_one_slot_and_one_of_the_minute_is_taken_for_all(
    relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed, name: str
) -> None:
    owed.requests = 6
    key = relay.create_key("narrow", rpm=2, concurrent=1)
    callers = [RawCaller(relay.port, key=key) for _ in range(5)]
    heads = ask_at_once(callers, upstream, Late(streaming), Ask(name, STREAM))
    assert {head.status for head in heads} == {200}
    assert {head.header("x-ratelimit-remaining-requests") for head in heads} <= {"1", "2"}, "each as of when it asked"
    for caller in callers:
        caller.read_all()
    upstream.answer(every_request(lambda conn, _: streaming(conn)))
    assert asked(callers[0], name + " again")[0] == 200
    for caller in callers:
        caller.close()


def test_the_line_of_the_first_tells_the_call_and_the_others_cost_nothing(
    relay: RelayProcess, callers: list[RawCaller], upstream: ScriptedUpstream, owed: Owed, name: str
) -> None:
    owed.requests = 3
    for caller in callers[:3]:
        assert asked(caller, name, ASK)[0] == 200
    until(lambda: len(relay.log_lines()) >= owed.lines_before + 3, 5)
    lines = relay.log_lines()[owed.lines_before :]
    assert [line["upstream_status"] for line in lines] == [200, None, None]
    assert [bool(line["usage"]) for line in lines] == [True, False, False]
    assert {(line["status"], line["end"], line["route"]) for line in lines} == {(200, "done", CHAT)}
