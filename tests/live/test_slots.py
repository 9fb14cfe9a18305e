"""What a key may hold at once and ask for in a minute: a slot is free before the end is read, both limits are exact."""

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import CHUNKED, DONE, answering, chat_completion, chat_stream, json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, Head, chunk
from tests.live.cases import ASK, CHAT, FRAMINGS, STREAM, Owed, ask, in_silence, nothing_left, refusal, saying

TURNS = 200
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
WHOLE = b"".join(chat_stream("Hello"))
COMPLETION = json.dumps(chat_completion("Hello")).encode()
JSON_ANSWERS = {
    "length": json_answer(chat_completion("Hello")),
    "chunked": f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{CHUNKED}\r\n\r\n".encode()
    + chunk(COMPLETION)
    + LAST_CHUNK,
}
NewKey = Callable[..., str]


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.fixture(scope="module")
def only_slot(relay: RelayProcess) -> str:
    return relay.create_key("one-slot", rpm=1_000_000, concurrent=1)


@pytest.fixture
def new_key(relay: RelayProcess, request: pytest.FixtureRequest) -> NewKey:
    """A key whose minute is still empty."""
    return lambda **policy: relay.create_key(request.node.name[:60], **policy)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_who_reads_done_may_start_the_next_stream_at_once_on_a_new_connection(
    upstream: ScriptedUpstream, relay: RelayProcess, only_slot: str, owed: Owed, framing: str
) -> None:
    owed.requests = TURNS
    upstream.answer(saying([*chat_stream("Hello")], framing))
    for turn in range(TURNS):
        with RawCaller(relay.port, key=only_slot) as caller:
            assert ask(caller).status == 200, f"turn {turn}"
            assert caller.read_until(DONE) == WHOLE


@pytest.mark.parametrize("framing", FRAMINGS)
def test_who_reads_done_may_start_the_next_stream_at_once_on_the_same_connection(
    upstream: ScriptedUpstream, relay: RelayProcess, only_slot: str, owed: Owed, framing: str
) -> None:
    owed.requests = TURNS
    upstream.answer(saying([*chat_stream("Hello")], framing))
    with RawCaller(relay.port, key=only_slot) as caller:
        caller.post(CHAT, STREAM)
        for turn in range(TURNS):
            assert caller.read_head()[0] == 200, f"turn {turn}"
            assert caller.read_until(DONE) == WHOLE
            if turn < TURNS - 1:
                caller.post(CHAT, STREAM)
            assert caller.read_all() == b""
            assert caller.ended_cleanly


@pytest.mark.parametrize("framing", JSON_ANSWERS)
def test_who_reads_the_last_byte_of_json_may_ask_again_at_once(
    upstream: ScriptedUpstream, relay: RelayProcess, only_slot: str, owed: Owed, framing: str
) -> None:
    owed.requests = TURNS
    upstream.answer(answering(JSON_ANSWERS[framing]))
    with RawCaller(relay.port, key=only_slot) as kept:
        for turn in range(TURNS // 2):
            assert ask(kept, ASK).status == 200, f"turn {turn} on the same connection"
            assert kept.read_until(COMPLETION) == COMPLETION
            with RawCaller(relay.port, key=only_slot) as fresh:
                assert ask(fresh, ASK).status == 200, f"turn {turn} on a new connection"
                assert fresh.read_until(COMPLETION) == COMPLETION
            kept.read_all()


def test_one_more_than_the_slots_is_refused_and_told_when_to_come_again(
    upstream: ScriptedUpstream, relay: RelayProcess, new_key: NewKey, owed: Owed
) -> None:
    owed.requests = 4
    key = new_key(rpm=100, concurrent=2)
    upstream.answer(in_silence)
    with RawCaller(relay.port, key=key) as first, RawCaller(relay.port, key=key) as second:
        assert (ask(first).status, ask(second).status) == (200, 200)
        with RawCaller(relay.port, key=key) as third:
            head = ask(third)
            assert refusal(third, head) == (429, "too_many_streams")
            assert_says_when(head)
            assert_limits(head, 100, 98)
            first.close()
            until(lambda: len(upstream.peer_closes) == 1, what="a free slot")
            assert ask(third).status == 200
    assert len(upstream.requests) == 3


def test_what_is_refused_for_its_slot_takes_nothing_of_the_minute(
    upstream: ScriptedUpstream, relay: RelayProcess, new_key: NewKey, owed: Owed
) -> None:
    owed.requests = 8
    key = new_key(rpm=3, concurrent=1)
    upstream.answer(in_silence)
    with RawCaller(relay.port, key=key) as caller:
        with RawCaller(relay.port, key=key) as holder:
            assert ask(holder).status == 200
            assert [refusal(caller, ask(caller))[1] for _ in range(4)] == ["too_many_streams"] * 4
        until(lambda: len(upstream.peer_closes) == 1, what="a free slot")
        upstream.answer(answering(JSON_ANSWERS["length"]))
        assert [status_of(caller) for _ in range(3)] == [200, 200, 429]


def test_a_minute_takes_exactly_its_requests(
    upstream: ScriptedUpstream, relay: RelayProcess, new_key: NewKey, owed: Owed
) -> None:
    owed.requests = 7
    with RawCaller(relay.port, key=new_key(rpm=5, concurrent=1)) as caller:
        for remaining in (4, 3, 2, 1, 0):
            head = ask(caller, ASK)
            assert (head.status, len(caller.read_all())) == (200, len(COMPLETION) + len(" world"))
            assert_limits(head, 5, remaining)
        for _ in range(2):
            head = ask(caller, ASK)
            assert refusal(caller, head) == (429, "rate_limit_exceeded")
            assert_says_when(head)
            assert_limits(head, 5, 0)
    assert len(upstream.requests) == 5


def test_a_minute_takes_exactly_its_requests_when_all_come_at_once(
    upstream: ScriptedUpstream, relay: RelayProcess, new_key: NewKey, owed: Owed
) -> None:
    owed.requests = 50
    key, statuses = new_key(rpm=5, concurrent=100), list[int]()

    def ask_once() -> None:
        with RawCaller(relay.port, key=key) as caller:
            statuses.append(status_of(caller))

    threads = [threading.Thread(target=ask_once) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (statuses.count(200), statuses.count(429)) == (5, 45)
    assert len(upstream.requests) == 5


def test_what_is_refused_for_its_rate_gives_its_slot_back(
    upstream: ScriptedUpstream, relay: RelayProcess, new_key: NewKey, owed: Owed
) -> None:
    owed.requests = 4
    with RawCaller(relay.port, key=new_key(rpm=1, concurrent=1)) as caller:
        assert status_of(caller) == 200
        assert [refusal(caller, ask(caller))[1] for _ in range(3)] == ["rate_limit_exceeded"] * 3


def test_every_answer_to_a_known_key_tells_its_limits(
    upstream: ScriptedUpstream, relay: RelayProcess, new_key: NewKey, owed: Owed, subtests: pytest.Subtests
) -> None:
    asked: list[tuple[int, str, str, bytes, str]] = [
        (200, "GET", "/v1/models", b"", "application/json"),
        (200, "HEAD", "/v1/models", b"", "application/json"),
        (403, "POST", CHAT, b'{"model":"other"}', "application/json"),
        (400, "POST", CHAT, b"{", "application/json"),
        (415, "POST", CHAT, b"x", "text/plain"),
        (502, "POST", CHAT, b'{"model":"gpt-test"}', "application/json"),
    ]
    owed.requests = len(asked)
    with RawCaller(relay.port, key=new_key(rpm=100, concurrent=1, model=["gpt-test"])) as caller:
        for status, method, path, body, content_type in asked:
            upstream.answer(answering(REDIRECT)) if status == 502 else None
            caller.request(method, path, body, [("Content-Type", content_type)])
            head = caller.read_answer_head()
            caller.read_all()
            with subtests.test(f"{status} to {method} {path}"):
                assert head.status == status
                assert head.header("x-ratelimit-limit-requests") == "100"


def status_of(caller: RawCaller) -> int:
    status = ask(caller, ASK).status
    caller.read_all()
    return status


def assert_says_when(head: Head) -> None:
    """Both forms of the same time, within what SDKs accept."""
    seconds, milliseconds = int(head.header("retry-after") or 0), int(head.header("retry-after-ms") or 0)
    assert 1 <= seconds <= 60
    assert 0 < milliseconds <= seconds * 1000
    assert head.header("x-should-retry") is None


def assert_limits(head: Head, limit: int, remaining: int) -> None:
    told = [head.header(f"x-ratelimit-{name}-requests") for name in ("limit", "remaining")]
    assert told == [str(limit), str(remaining)]
    reset = head.header("x-ratelimit-reset-requests") or ""
    assert reset.endswith("s")
    assert 0 < float(reset.removesuffix("s")) <= 60
    assert head.header("ratelimit-policy") == f'"requests";q={limit};w=60'
    assert (head.header("ratelimit") or "").startswith(f'"requests";r={remaining};t=')
