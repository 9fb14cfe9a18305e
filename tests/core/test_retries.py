"""A connection is tried again a few times, soon, and then no more."""

from itertools import pairwise

from relay.core.retries import CONNECT_ATTEMPTS_MAX, connect_delays

CONNECT_SECONDS_MAX = 5  # the default deadline over all attempts
UNREACHABLE_SECONDS_MAX = 1  # FAULTS D1: a refused connection is told within a second


def test_the_first_attempt_and_those_behind_the_delays_are_all_there_are() -> None:
    assert len(list(connect_delays())) == CONNECT_ATTEMPTS_MAX - 1 == 2


def test_the_delays_grow_and_stay_far_below_the_deadline() -> None:
    delays = list(connect_delays())
    assert all(earlier < later for earlier, later in pairwise(delays))
    assert 0 < sum(delays) < UNREACHABLE_SECONDS_MAX / 2 < CONNECT_SECONDS_MAX


def test_each_request_has_its_own_delays() -> None:
    first = connect_delays()
    next(first)
    assert len(list(connect_delays())) == 2
