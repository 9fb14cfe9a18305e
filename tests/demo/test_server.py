"""Start, stop, the bounds and the counts."""

import json
import os
import re
from collections import Counter

import gevent
import pytest

from relay.demo.server import DemoUpstream
from tests.demo.conftest import RawCaller


def open_sockets() -> Counter[str]:
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue  # the descriptor of this listing itself
    return Counter(link for link in links if link.startswith("socket:"))


def test_stop_leaves_no_socket_and_no_generation() -> None:
    before = open_sockets()
    server = DemoUpstream()
    server.start()
    callers = [RawCaller(server.port) for _ in range(4)]
    for caller, model in zip(callers[:3], ["demo-slow", "fault-stall", "mock-n4000-s16000"], strict=True):
        caller.post(model)
    callers[2].until(b":0:x")
    server.stop()
    assert server.active == 0
    for caller in callers:
        caller.close()
    assert open_sockets() == before


def test_after_stop_nobody_listens_and_stop_may_be_repeated() -> None:
    server = DemoUpstream()
    server.start()
    port = server.port
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        RawCaller(port)


def test_a_taken_port_is_an_error(upstream: DemoUpstream) -> None:
    with pytest.raises(OSError, match="in use"):
        DemoUpstream(port=upstream.port).start()


def test_callers_beyond_the_bound_wait_for_a_place() -> None:
    with DemoUpstream(connections_max=1) as server:
        first, second = RawCaller(server.port), RawCaller(server.port)
        first.post("mock-n1-d50000")
        second.post("mock-n1")
        first.until(b"[DONE]")
        gevent.sleep(0.02)
        assert server.requests == 1
        first.close()
        second.until(b"[DONE]")
        second.close()


def test_the_base_url_names_host_and_port(upstream: DemoUpstream) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", upstream.base_url)
    assert str(upstream.port) in upstream.base_url
    with DemoUpstream("::1") as server:
        assert server.base_url.startswith("http://[::1]:")


def test_the_stats_count_all_but_themselves(connect, upstream: DemoUpstream, wait_until) -> None:
    running, leaving, asking = connect(), connect(), connect()
    running.post("fault-stall")
    leaving.post("fault-stall")
    leaving.until(b":2:x")
    leaving.close()
    wait_until(lambda: upstream.cancelled == 1)
    running.until(b":2:x")
    asking.get("/demo/stats")
    body = asking.until(b"}").rpartition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"requests": 2, "active": 1, "cancelled": 1}
