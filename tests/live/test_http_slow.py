"""B5, B6: those who send slowly, or nothing, are ended in time and slow nobody; a bad request ends a pipeline."""

import time
from collections.abc import Iterator

import pytest

from tests.live.bench.attack import echo, good_answer, post
from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import every_request
from tests.live.bench.slow_senders import SlowSenders
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.cases import ASK, CHAT, Owed, nothing_left
from tests.live.pairs import LIMITS

pytestmark = pytest.mark.alone

KEEPALIVE_SECONDS = 2
BODY_SECONDS_MAX = 1.5
LATE_SECONDS_MAX = 3.0  # what a loaded machine may add
OTHERS_SECONDS_MAX = 0.5
HEAD = b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
MANY = [100, pytest.param(1_000, marks=pytest.mark.soak)]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """With little patience."""
    patience = {
        "RELAY_SERVER__KEEPALIVE_SECONDS": str(KEEPALIVE_SECONDS),
        "RELAY_SERVER__BODY_SECONDS_MAX": str(BODY_SECONDS_MAX),
        "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000",
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), {**LIMITS, **patience})
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        upstream.answer(every_request(echo))
        yield owed


def wait_for_lines(relay: RelayProcess, owed: Owed, status: int, count: int) -> None:
    """Until each of them has its line in the log."""

    def told() -> int:
        return sum(line["status"] == status for line in relay.log_lines()[owed.lines_before :])

    until(lambda: told() >= count, 10.0, f"{count} lines with status {status}")
    assert told() == count


def assert_others_are_served(relay: RelayProcess, key: str, seconds: float) -> None:
    """A good request every now and then: answered, and the slowest but one in a hundred in time.

    The first does not count: it waits until the relay has read what all the slow ones sent at once.
    """
    took: list[float] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        with RawCaller(relay.port, key=key) as caller:
            asked = time.monotonic()
            assert good_answer(caller, f"other-{len(took)}") == ""
            took.append(time.monotonic() - asked)
        time.sleep(0.02)
    took = took[1:]
    assert sorted(took)[int(len(took) * 0.99)] <= OTHERS_SECONDS_MAX, f"the slowest of {len(took)}: {max(took):.2f} s"


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("first", [b"", b"P", HEAD, HEAD + b"X-Y: "], ids=["nothing", "a letter", "a line", "a header"])
def test_a_head_that_does_not_come_is_not_waited_for(relay: RelayProcess, key: str, first: bytes, count: int) -> None:
    with SlowSenders(relay.port, count, first, b"" if not first else b"x" * 100) as slow:
        assert_others_are_served(relay, key, KEEPALIVE_SECONDS)
        slow.wait(LATE_SECONDS_MAX)
    assert max(slow.closed_at) <= KEEPALIVE_SECONDS + LATE_SECONDS_MAX
    assert min(slow.closed_at) >= KEEPALIVE_SECONDS - 0.2


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_in_time_is_a_408(
    relay: RelayProcess, key: str, owed: Owed, framing: str, count: int
) -> None:
    body = b'{"model":"gpt-test"' if "L" in framing else b"64\r\n" + b'{"model":"gpt-test"'
    with SlowSenders(relay.port, count, post(key, framing), body, interval_seconds=0.25) as slow:
        assert_others_are_served(relay, key, BODY_SECONDS_MAX)
        slow.wait(LATE_SECONDS_MAX)
    assert max(slow.closed_at) <= BODY_SECONDS_MAX + LATE_SECONDS_MAX
    assert all(b" 408 " in said and b'"code":"request_timeout"' in said for said in slow.received)
    assert all(b"x-should-retry: false" in said.lower() for said in slow.received)
    wait_for_lines(relay, owed, 408, count)


@pytest.mark.parametrize("count", MANY)
def test_a_body_that_nobody_will_read_is_not_waited_for_either(
    relay: RelayProcess, key: str, owed: Owed, count: int
) -> None:
    with SlowSenders(relay.port, count, post("", "Content-Length: 100"), b"x" * 100, interval_seconds=0.25) as slow:
        assert_others_are_served(relay, key, KEEPALIVE_SECONDS)
        slow.wait(LATE_SECONDS_MAX)
    assert all(b" 401 " in said for said in slow.received)
    wait_for_lines(relay, owed, 401, count)


@pytest.mark.parametrize("count", MANY)
def test_an_idle_connection_is_closed_and_costs_nobody(relay: RelayProcess, key: str, count: int) -> None:
    first = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with SlowSenders(relay.port, count, first, b"") as slow:
        assert_others_are_served(relay, key, KEEPALIVE_SECONDS)
        slow.wait(LATE_SECONDS_MAX)
    assert all(said.startswith(b"HTTP/1.1 200 ") and said.count(b"HTTP/1.1") == 1 for said in slow.received)


@pytest.mark.parametrize("place", [0, 1, 9])
def test_a_malformed_request_in_a_pipeline_of_ten_is_the_last(
    relay: RelayProcess, upstream: ScriptedUpstream, key: str, place: int
) -> None:
    bodies = [
        b'{"model":"gpt-test","messages":[{"role":"user","content":"number %d"}]}' % number for number in range(10)
    ]
    good = [post(key, f"Content-Length: {len(body)}", body=body) for body in bodies]
    good[place] = good[place].replace(b"Content-Length", b"Content-Length\x00")
    with RawCaller(relay.port) as caller:
        caller.send(b"".join(good))
        for number in range(place):
            assert caller.read_head()[0] == 200
            assert b"number %d" % number in caller.read_all()
        assert caller.read_head()[0] == 400
        assert caller.wait_closed(5)
    assert len(upstream.requests) == place


def test_a_request_behind_one_that_failed_is_served(relay: RelayProcess, key: str) -> None:
    """A refusal by a route is no malformed request: the pipeline goes on."""
    with RawCaller(relay.port, key=key) as caller:
        caller.send(post("", "Content-Length: 2", body=b"{}"))
        assert caller.read_head()[0] == 401
        caller.read_all()
        caller.post(CHAT, ASK)
        assert caller.read_head()[0] == 200
