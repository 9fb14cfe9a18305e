"""Collecting a whole body for the relay itself: all of it or nothing, and the exchange stays open."""

from collections.abc import Callable

import gevent
import pytest

from tests.pump.iterating import Iterate
from tests.pump.partners import Answering

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
BODY = b'{"a": 10}'
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


def test_a_whole_body_is_returned(iterate: Iterate) -> None:
    it = iterate(JSON_HEAD)
    gevent.spawn_later(0.02, it.upstream.send, BODY)
    assert it.body.collect(len(BODY)) == BODY
    assert (it.meter.end, it.closed) == ("done", [])


def test_a_body_that_the_close_ends_is_returned(iterate: Iterate) -> None:
    assert iterate(UNTIL_CLOSE + BODY, then=Answering.close).body.collect(100) == BODY


@pytest.mark.parametrize("head", [JSON_HEAD, UNTIL_CLOSE], ids=["with a length", "until the close"])
def test_a_body_that_is_larger_is_not_returned(iterate: Iterate, head: bytes) -> None:
    it = iterate(head + BODY, then=Answering.close)
    assert it.body.collect(len(BODY) - 1) == b""
    assert it.closed == []


def test_no_more_than_the_bound_is_kept_of_a_body_without_end(iterate: Iterate) -> None:
    it = iterate(UNTIL_CLOSE)
    flooding = gevent.spawn(flood, it.upstream)
    assert it.body.collect(1000) == b""
    assert it.meter.end == "oversize"
    flooding.kill()


def flood(upstream: Answering) -> None:
    while True:
        upstream.send(b"x" * 10_000)


@pytest.mark.parametrize(
    ("then", "end"),
    [(Answering.close, "truncated"), (Answering.reset, "reset"), (lambda upstream: None, "stall")],
    ids=["close", "reset", "silence"],
)
def test_a_body_that_is_cut_is_not_returned(
    iterate: Iterate,
    then: Callable[[Answering], None],
    end: str,
) -> None:
    it = iterate(JSON_HEAD + BODY[:4], then=then, idle_seconds_max=0.1)
    assert it.body.collect(100) == b""
    assert (it.meter.end, it.closed) == (end, [])
