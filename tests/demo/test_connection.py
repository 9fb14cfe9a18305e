"""Real sockets: connections are kept, departures noticed, refusals received, faults seen from outside."""

import re

import gevent
import pytest

from relay.demo.faults.table import FAULTS
from relay.demo.server import DemoUpstream

END = b"0\r\n\r\n"
ENDLESS = {"silent", "stall", "late-end", "endless-chunk-size", "endless-frame", "trickle", "slow-head"}
PATIENT = "mock-n1000-i60000000"


def test_frames_arrive_as_they_are_made(connect) -> None:
    caller = connect()
    caller.post("mock-n3-i100000")
    for number in range(3):
        caller.until(b":%d:x" % number)
        assert b":%d:x" % (number + 1) not in caller.received
    caller.until(END)
    first, second, third = (int(made_ns) for made_ns in re.findall(rb"@t(\d+):", caller.received))
    assert second - first > 90_000_000 and third - first > 190_000_000


def test_a_connection_carries_several_requests_streamed_or_not(connect) -> None:
    caller = connect()
    for stream in (True, False, True):
        caller.received = b""
        caller.post("mock-n2", stream=stream)
        caller.until(END if stream else b'"total_tokens":2}}')


def test_pipelined_requests_are_answered_in_order(connect) -> None:
    caller = connect()
    for size in (1, 2, 3):
        caller.post(f"mock-n1-i1-s{size}", stream=False)
    caller.until(b"demo3")
    caller.until(b":0:xxx")
    assert [len(found) for found in re.findall(rb":0:(x+)", caller.received)] == [1, 2, 3]


def test_a_chunked_request_is_read(connect) -> None:
    caller = connect()
    caller.sock.sendall(b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    caller.sock.sendall(b'8\r\n{"model"\r\n8\r\n:"mock"}\r\n0\r\n\r\n')
    assert b"text_completion" in caller.until(b"}}")


def test_a_caller_that_says_close_is_closed_after_its_answer(connect) -> None:
    caller = connect()
    caller.post("mock-n1", headers="Connection: close\r\n")
    assert caller.to_the_end().endswith(END)


def test_a_bad_body_is_a_400_and_the_connection_goes_on(connect) -> None:
    caller = connect()
    caller.sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 1\r\n\r\n{")
    caller.until(b"not valid JSON")
    caller.post("mock-n1")
    caller.until(END)


def test_a_body_over_the_limit_gets_its_413_although_nobody_reads_it(connect) -> None:
    caller = connect()
    caller.sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 500_000)
    caller.sock.shutdown(1)
    assert caller.to_the_end().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("model", [PATIENT, "fault-silent", "fault-stall", "mock-d60000000"])
def test_a_caller_that_leaves_during_silence_ends_the_generation(upstream, connect, wait_until, model: str) -> None:
    caller = connect()
    caller.post(model)
    wait_until(lambda: upstream.active == 1)
    caller.close()
    wait_until(lambda: upstream.active == 0 and upstream.cancelled == 1)


def test_a_caller_that_leaves_an_answer_at_once_ends_it(upstream, connect, wait_until) -> None:
    caller = connect()
    caller.post("demo-slow", stream=False)
    wait_until(lambda: upstream.active == 1)
    caller.close()
    wait_until(lambda: upstream.cancelled == 1)


def test_a_half_close_counts_as_leaving(upstream, connect, wait_until) -> None:
    caller = connect()
    caller.post(PATIENT)
    caller.until(b":0:x")
    caller.sock.shutdown(1)
    wait_until(lambda: upstream.cancelled == 1)
    assert not caller.to_the_end().endswith(END)


def test_a_departure_behind_a_pipelined_request_is_noticed(upstream, connect, wait_until) -> None:
    caller = connect()
    caller.post(PATIENT)
    caller.post("mock")
    caller.until(b":0:x")
    caller.close()
    wait_until(lambda: upstream.cancelled == 1)
    assert (upstream.active, upstream.requests) == (0, 1)


def test_a_reader_that_stops_holds_the_generation_until_it_leaves(upstream, connect, wait_until) -> None:
    caller = connect()
    caller.post("mock-n4000-s16000")
    caller.until(b":0:x")
    gevent.sleep(0.1)
    assert upstream.active == 1
    caller.close()
    wait_until(lambda: upstream.cancelled == 1)


def test_a_complete_answer_is_never_counted_as_cancelled(upstream, connect) -> None:
    for _ in range(50):
        caller = connect()
        caller.post("mock-n2")
        caller.until(b"[DONE]")
        caller.close()
    gevent.sleep(0.01)
    assert (upstream.requests, upstream.active, upstream.cancelled) == (50, 0, 0)


def test_a_reset_arrives_as_one_after_the_frames(connect) -> None:
    caller = connect()
    caller.post("fault-reset")
    with pytest.raises(ConnectionResetError):
        caller.to_the_end()
    assert caller.received.count(b"@t") == 3


@pytest.mark.parametrize("name", ["eof-mid-chunk", "short-length", "eof-delimited", "close-delimited", "drop-idle"])
def test_a_close_arrives_as_an_orderly_end(connect, name: str) -> None:
    caller = connect()
    caller.post(f"fault-{name}")
    assert caller.to_the_end().count(b"@t") == 3


@pytest.mark.parametrize("stream", [True, False])
def test_no_fault_harms_the_server(upstream: DemoUpstream, connect, wait_until, stream: bool) -> None:
    for name in FAULTS:
        caller = connect()
        caller.post(f"fault-{name}", stream=stream, headers="Connection: close\r\n")
        if name not in ENDLESS and name != "reset":
            assert caller.to_the_end()
        caller.close()
    wait_until(lambda: upstream.active == 0 and upstream.requests == len(FAULTS))


def test_unpaced_streams_leave_room_for_each_other(connect) -> None:
    long, short = connect(), connect()
    long.post("mock-n200000")
    long.until(b":0:x")
    short.post("mock-n3")
    short.until(END)
    assert b"[DONE]" not in long.received
