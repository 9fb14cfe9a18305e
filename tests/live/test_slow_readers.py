"""E4: a caller that does not read holds its slot, its upstream and its connection for a bounded time."""

import time
from collections.abc import Callable

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import CHUNKED, DONE, chat_stream, every_request, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import CHAT, ONE, STREAM, saying

pytestmark = pytest.mark.alone

SLOW_SECONDS_MAX = 2.0
# What the kernel keeps for one caller is four times this, with what it needs itself; the answers are to exceed it soon.
KERNEL_BYTES = 8_192
REQUESTS = 200


def in_two_pieces(conn: Connection, _: object) -> None:
    """The end of the stream comes behind what is on its way to the caller."""
    conn.send(sse_head(CHUNKED) + chunk(ONE))
    conn.stall(0.02)
    conn.send(chunk(DONE) + LAST_CHUNK)


@pytest.fixture
def impatient(start_relay: Callable[..., RelayProcess], upstream: ScriptedUpstream) -> RelayProcess:
    return start_relay(
        upstream.base_url,
        RELAY_STREAM__SLOW_READER_SECONDS_MAX=str(SLOW_SECONDS_MAX),
        RELAY_STREAM__PENDING_BYTES_MAX=str(KERNEL_BYTES),
    )


def test_a_caller_that_pipelines_requests_and_reads_no_stream_is_given_up(
    impatient: RelayProcess, upstream: ScriptedUpstream
) -> None:
    upstream.answer(every_request(in_two_pieces))
    key = impatient.create_key("slow", concurrent=1, rpm=10_000)
    with RawCaller(impatient.port, key=key, receive_buffer_bytes=1) as slow:
        for _ in range(REQUESTS):
            slow.post(CHAT, STREAM)
        line = impatient.wait_for_log_line(15, end="client_slow")
        assert SLOW_SECONDS_MAX * 1000 <= float(str(line["duration_ms"])) < (SLOW_SECONDS_MAX + 2) * 1000
        assert_given_up(impatient, upstream)


def test_a_caller_that_pipelines_requests_and_reads_no_whole_answer_is_given_up(
    impatient: RelayProcess, upstream: ScriptedUpstream
) -> None:
    """Such an answer leaves in one piece behind its slot, which nobody holds while it waits."""
    upstream.answer(saying(chat_stream("x")))
    key = impatient.create_key("slow", concurrent=1, rpm=10_000)
    with RawCaller(impatient.port, key=key, receive_buffer_bytes=1) as slow:
        for _ in range(REQUESTS):
            slow.post(CHAT, STREAM)
        until(lambda: impatient.sockets_from_callers() == 1, 2.0, "its connection")
        until(lambda: impatient.sockets_from_callers() == 0, SLOW_SECONDS_MAX + 8, "the end of its connection")
        assert_given_up(impatient, upstream)


def assert_given_up(relay: RelayProcess, upstream: ScriptedUpstream) -> None:
    """Nothing is held, and nothing of what it had sent behind is begun."""
    until(lambda: upstream.busy == 0 and relay.sockets_from_callers() == 0, 2.0, "a free slot and a closed socket")
    time.sleep(0.3)
    served = len(relay.log_lines())
    assert len(upstream.requests) == served < REQUESTS
    time.sleep(0.3)
    assert (len(upstream.requests), len(relay.log_lines())) == (served, served)


def test_a_caller_that_pipelines_requests_and_reads_no_refusal_is_given_up_too(
    start_relay: Callable[..., RelayProcess], upstream: ScriptedUpstream
) -> None:
    """gunicorn itself sends those; the kernel gives up five seconds later."""
    relay = start_relay(
        upstream.base_url,
        RELAY_STREAM__SLOW_READER_SECONDS_MAX="1",
        RELAY_STREAM__PENDING_BYTES_MAX=str(KERNEL_BYTES),
    )
    with RawCaller(relay.port, key="rk_none", receive_buffer_bytes=1) as slow:
        for _ in range(REQUESTS):
            slow.post(CHAT, STREAM)
        until(lambda: relay.sockets_from_callers() == 1, 2.0, "its connection")
        until(lambda: relay.sockets_from_callers() == 0, 15.0, "the end of its connection")
    assert "Traceback" not in relay.stderr()
