"""The opening within a wait, apart from gunicorn: the head is sent whole and once, and no heartbeat is lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import gevent
import pytest
from gevent import socket

from relay.core.errors import RelayError
from relay.core.sse import PING
from relay.pump.departure import CallerGone, CallerSlow
from relay.pump.presence import EarlyOpen, NoPresence, Presence
from relay.pump.sweep import Sweep
from relay.pump.takeover import Wire
from tests.pump.partners import Caller, Response, fill, pair, until

Ends = tuple[Caller, socket.socket]
Opener = Callable[[], Wire]
SOON = EarlyOpen(after_seconds=0.02, heartbeat_seconds=0.02)


@pytest.fixture
def present(ends: Ends, sweep: Sweep) -> Iterator[Callable[[Opener], Presence]]:
    yield lambda opener: Presence(ends[1], sweep, opener, SOON, set())


def test_leaving_the_wait_lets_the_head_be_sent_whole(ends: Ends, present: Callable[[Opener], Presence]) -> None:
    def open_slowly() -> Wire:
        ends[1].sendall(b"first half, ")
        gevent.sleep(0.05)
        ends[1].sendall(b"second half")
        return Wire(Response(ends[1], chunked=False))

    with present(open_slowly) as presence:
        ends[0].until(b"first half")
        assert presence.wire is None
    assert presence.wire is not None
    assert ends[0].until(b"second half") == b"first half, second half"


def test_the_response_is_opened_once(ends: Ends, present: Callable[[Opener], Presence]) -> None:
    opened = []

    def open_slowly() -> Wire:
        opened.append(time.monotonic())
        gevent.sleep(0.1)
        return Wire(Response(ends[1], chunked=False))

    with present(open_slowly):
        gevent.sleep(0.2)
    assert len(opened) == 1


def test_a_head_that_cannot_be_sent_means_that_the_caller_is_gone(present: Callable[[Opener], Presence]) -> None:
    def fail() -> Wire:
        raise CallerGone

    with pytest.raises(CallerGone), gevent.Timeout(1), present(fail):
        gevent.sleep(5)


def test_a_head_that_could_not_be_sent_is_not_sent_again_for_an_answer_that_came_meanwhile(
    present: Callable[[Opener], Presence],
) -> None:
    """Nor for a refusal: half of it may be out."""

    def fail_slowly() -> Wire:
        gevent.sleep(0.05)
        raise CallerSlow

    for meanwhile in (None, RelayError("upstream_timeout", "It took too long.")):
        presence = present(fail_slowly)
        with pytest.raises(CallerSlow), presence:
            until(lambda: presence._opening is not None)  # noqa: B023
            if meanwhile is not None:
                raise meanwhile


def test_a_caller_that_takes_nothing_gets_one_heartbeat_which_is_owed(
    ends: Ends, present: Callable[[Opener], Presence]
) -> None:
    def open_full() -> Wire:
        fill(ends[1])
        return Wire(Response(ends[1], chunked=False))

    with present(open_full) as presence:
        until(presence.take_pending)
        gevent.sleep(0.1)
    assert presence.take_pending() == PING


def test_what_the_caller_takes_later_is_no_longer_owed(ends: Ends, present: Callable[[Opener], Presence]) -> None:
    def open_full() -> Wire:
        fill(ends[1])
        return Wire(Response(ends[1], chunked=False))

    with present(open_full) as presence:
        until(presence.take_pending)
        ends[0].until(PING)
        until(lambda: not presence.take_pending())


def test_nothing_is_owed_by_a_response_that_is_not_open(present: Callable[[Opener], Presence]) -> None:
    with present(lambda: Wire(None)) as presence:
        pass
    assert (presence.take_pending(), presence.wire) == (b"", None)


def test_after_the_wait_nobody_is_interrupted(ends: Ends, present: Callable[[Opener], Presence]) -> None:
    with present(lambda: Wire(None)) as presence:
        pass
    presence.interrupt_soon(CallerGone())
    ends[0].close()
    gevent.sleep(0.05)


def test_a_wait_that_is_over_watches_nothing(present: Callable[[Opener], Presence], sweep: Sweep) -> None:
    loop = gevent.get_hub().loop
    before = loop.activecnt
    with present(lambda: Wire(None)):
        assert loop.activecnt == before + 2
    assert (loop.activecnt, len(sweep)) == (before, 0)


def test_a_heartbeat_that_cannot_be_sent_means_that_the_caller_is_gone(present: Callable[[Opener], Presence]) -> None:
    """Also where nothing else tells it."""
    other_near, other_far = pair()
    with other_far:
        Caller(other_near).reset()
        waiting = present(lambda: Wire(Response(other_far, chunked=False)))
        with pytest.raises(CallerGone), waiting:
            gevent.sleep(2)
            pytest.fail("nobody noticed")


def test_a_killed_wait_leaves_nothing(present: Callable[[Opener], Presence], sweep: Sweep) -> None:
    """What it leaves is looked for after every test."""
    waiting = present(lambda: Wire(None))
    waiting._early = EarlyOpen(60, 60)

    def wait() -> None:
        with waiting:
            gevent.sleep(5)

    greenlet = gevent.spawn(wait)
    until(lambda: len(sweep))
    with suppress(gevent.GreenletExit):
        greenlet.kill()
    assert (len(sweep), waiting._waiting) == (0, set())


def test_where_there_is_no_socket_the_wait_is_a_plain_one() -> None:
    with NoPresence() as presence:
        assert (presence.wire, presence.take_pending()) == (None, b"")
    with pytest.raises(ValueError, match="passes"), NoPresence():
        raise ValueError("passes")
