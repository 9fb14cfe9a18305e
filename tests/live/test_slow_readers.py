"""E4: a caller that does not read holds its slot, its upstream and its connection for a bounded time."""

import time
from collections.abc import Callable

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import chat_stream
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.cases import CHAT, STREAM, saying

pytestmark = pytest.mark.alone

SLOW_SECONDS_MAX = 2.0
# What the kernel keeps for one caller is four times this, with what it needs itself; the answers are to exceed it soon.
KERNEL_BYTES = 8_192
REQUESTS = 200


def test_a_caller_that_pipelines_requests_and_reads_no_answer_is_given_up(
    start_relay: Callable[..., RelayProcess], upstream: ScriptedUpstream
) -> None:
    """Most bytes of such answers are heads, so it is a head that does not fit in the end."""
    relay = start_relay(
        upstream.base_url,
        RELAY_STREAM__SLOW_READER_SECONDS_MAX=str(SLOW_SECONDS_MAX),
        RELAY_STREAM__PENDING_BYTES_MAX=str(KERNEL_BYTES),
    )
    upstream.answer(saying(chat_stream("x")))
    with RawCaller(relay.port, key=relay.create_key("slow", concurrent=1, rpm=10_000), receive_buffer_bytes=1) as slow:
        for _ in range(REQUESTS):
            slow.post(CHAT, STREAM)
        line = relay.wait_for_log_line(10, end="client_slow")
        assert SLOW_SECONDS_MAX * 1000 <= float(str(line["duration_ms"])) < (SLOW_SECONDS_MAX + 2) * 1000
        assert line["status"] == 499
        until(lambda: upstream.busy == 0 and relay.sockets_from_callers() == 0, 2.0, "a free slot and a closed socket")
        served = len(relay.log_lines())
        time.sleep(0.3)
        assert (len(upstream.requests), len(relay.log_lines())) == (served, served)
    assert served < REQUESTS


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
