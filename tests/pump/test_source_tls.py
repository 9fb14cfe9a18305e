"""A stream from an upstream on TLS, where decrypted bytes wait that no event announces."""

from collections.abc import Callable

import gevent
import pytest

from relay.pump.source import Source
from tests.pump.outcomes import assert_cut
from tests.pump.partners import DONE, LAST_CHUNK, STREAM_HEAD, Answering, chunk, frame, until
from tests.pump.stage import Stage, Tls
from tests.pump.test_stream_blocked import KIB, block

Make = Callable[..., Stage]


def test_a_stream_over_tls_arrives_frame_by_frame(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    upstream = made.begin(caller)
    for number in range(20):
        upstream.say(frame(f"n{number}."))
        caller.until(b"n%d.\n\n" % number)
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert (caller.is_whole, made.end) == (True, "done")


def test_a_stream_over_tls_whose_beginning_came_with_the_head(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    caller.ask()
    made.upstream.next().send(STREAM_HEAD + chunk(frame("a")) + chunk(DONE) + LAST_CHUNK)
    caller.until(LAST_CHUNK)
    assert caller.body == frame("a") + DONE


def test_all_of_a_record_is_read_although_one_event_announces_it(stage: Make, tls: Tls) -> None:
    """Reads of 1,000 bytes leave most of a record of 10,000 within TLS."""
    made = stage(tls=tls, pending_bytes_max=1000)
    caller = made.caller()
    upstream = made.begin(caller)
    upstream.send(chunk(frame("x" * 10_000) + frame("end")))
    with gevent.Timeout(1):
        caller.until(frame("end"))


def test_what_waits_within_tls_is_read_when_the_caller_reads_again(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls, pending_bytes_max=1100)
    made.sndbuf_bytes = 4096
    caller = made.caller(rcvbuf_bytes=4096)
    upstream = made.begin(caller)
    block(made, upstream)
    upstream.say(*[KIB] * 12, frame("end"))
    gevent.sleep(0.05)
    caller.until(frame("end"))
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert caller.body == KIB * 212 + frame("end") + DONE


def test_plain_connections_hold_nothing_back(stage: Make) -> None:
    made = stage()
    caller = made.caller()
    made.begin(caller)
    [stream] = made.pump.live
    assert isinstance(stream._source, Source)
    assert not stream._source.has_more


def test_a_connection_over_tls_serves_the_next_request(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    upstream = made.begin(caller)
    upstream.finish()
    caller.until(LAST_CHUNK)
    caller.forget()
    caller.ask()
    upstream.read_request()
    upstream.head()
    upstream.finish()
    caller.until(LAST_CHUNK)
    assert len(made.upstream.accepted) == 1


@pytest.mark.parametrize(
    ("leave", "end", "code"),
    [(Answering.close, "truncated", "upstream_incomplete"), (Answering.reset, "reset", "upstream_disconnected")],
    ids=["close", "reset"],
)
def test_an_upstream_on_tls_that_leaves_is_told(
    stage: Make, tls: Tls, leave: Callable[[Answering], None], end: str, code: str
) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    upstream = made.begin(caller)
    upstream.say(frame("a"))
    caller.until(b"a\n\n")
    leave(upstream)
    assert_cut(made, caller, end, code, before=frame("a"))


def test_a_caller_that_leaves_ends_the_connection_over_tls(stage: Make, tls: Tls) -> None:
    made = stage(tls=tls)
    caller = made.caller()
    upstream = made.begin(caller)
    caller.close()
    assert upstream.sees_the_other_leave(1)
    until(lambda: made.meter.endings)
    assert made.end == "client_gone"
