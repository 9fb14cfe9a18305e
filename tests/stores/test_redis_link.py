"""The link to Redis: no wait beyond the budget, no asking while it is down, one connection for everybody."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from relay.stores.redis_link import OPERATION_SECONDS_MAX, RedisLink, StoreDown
from tests.live.bench.waiting import until
from tests.stores.conftest import ECHO, Reports, failing_seconds, no_failure
from tests.stores.redis_server import RedisServer

# What a busy machine may add to a wait.
A_MOMENT_SECONDS = 0.1


def test_the_budget_is_what_the_contract_says() -> None:
    assert OPERATION_SECONDS_MAX == 0.05


def test_a_link_is_down_until_it_is_mended(redis: RedisServer) -> None:
    link = RedisLink(redis.url, no_failure)
    assert link.down
    with pytest.raises(StoreDown) as caught:
        link.ask(ECHO)
    assert not caught.value.asked
    silent_seconds = link.mend()
    assert silent_seconds is not None
    assert silent_seconds < 1
    assert link.ask(ECHO, ("ECHO", 1)) == [b"x", b"1"]
    assert (link.down, link.mend()) == (False, None)
    link.close()
    assert link.down


def test_questions_that_come_up_meanwhile_leave_together(link: RedisLink, redis: RedisServer) -> None:
    """While a slow answer is awaited, 300 threads ask; they get their own answers, in three round trips."""
    sent: list[int] = []
    converse = link._wire.converse
    link._wire.converse = lambda commands: (sent.append(len(commands)), converse(commands))[1]

    with ThreadPoolExecutor(301) as threads:
        first = threads.submit(link.ask, ("BLPOP", "nothing", 1))
        until(lambda: bool(sent))
        others = [threads.submit(link.ask, ("ECHO", number), ECHO) for number in range(300)]
        until(lambda: len(link._waiting) == 300)
        assert first.result() == [None]
        assert [other.result() for other in others] == [[b"%d" % number, b"x"] for number in range(300)]
    assert sent == [1, 256, 256, 88]


def test_a_redis_that_stands_still_costs_one_budget_and_then_nothing(
    own_redis: RedisServer, up: Callable[[str], RedisLink], reports: Reports
) -> None:
    link = up(own_redis.url)
    own_redis.pause()
    assert OPERATION_SECONDS_MAX <= failing_seconds(link) < OPERATION_SECONDS_MAX + A_MOMENT_SECONDS
    assert max(failing_seconds(link) for _ in range(100)) < OPERATION_SECONDS_MAX / 2
    assert link.down
    assert link.mend() is None
    own_redis.resume()
    silent_seconds = link.mend()
    assert silent_seconds is not None
    assert OPERATION_SECONDS_MAX < silent_seconds < 5
    assert link.ask(ECHO) == [b"x"]
    assert reports == ["TimeoutError"]


def test_everybody_who_waits_is_told_within_the_same_budget(
    own_redis: RedisServer, up: Callable[[str], RedisLink]
) -> None:
    link = up(own_redis.url)
    own_redis.pause()
    with ThreadPoolExecutor(50) as threads:
        waits = list(threads.map(lambda _: failing_seconds(link), range(50)))
    own_redis.resume()
    assert max(waits) < 20 * OPERATION_SECONDS_MAX  # one behind the other they would wait 50 times as long


def test_whoever_is_killed_while_waiting_for_an_answer_leaves_no_answer_to_the_next(
    link: RedisLink, reports: Reports
) -> None:
    wire, link._report = link._wire, reports
    assert wire is not None
    can_read = wire._connection.can_read

    def killed(timeout: float) -> bool:
        wire._connection.can_read = can_read
        raise KeyboardInterrupt

    wire._connection.can_read = killed
    with pytest.raises(KeyboardInterrupt):
        link.ask(("ECHO", "mine"))
    assert failing_seconds(link) < A_MOMENT_SECONDS
    link.mend()
    assert link.ask(("ECHO", "yours")) == [b"yours"]


def test_whoever_is_killed_while_waiting_for_a_turn_asks_nothing(link: RedisLink) -> None:
    class Killing:
        def __enter__(self) -> None:
            raise KeyboardInterrupt

        def __exit__(self, *error: object) -> None: ...

    turn, link._turn = link._turn, Killing()
    with pytest.raises(KeyboardInterrupt):
        link.ask(("SET", "killed", 1))
    link._turn = turn
    assert link.ask(("EXISTS", "killed")) == [0]


def test_one_connection_serves_everybody(own_redis: RedisServer, up: Callable[[str], RedisLink]) -> None:
    link = up(own_redis.url)
    before = int(own_redis.client.info("stats")["total_connections_received"])
    with ThreadPoolExecutor(50) as threads:
        for answer in threads.map(lambda _: link.ask(ECHO), range(1000)):
            assert answer == [b"x"]
    assert int(own_redis.client.info("stats")["total_connections_received"]) == before


def test_connections_that_failed_are_closed(own_redis: RedisServer, up: Callable[[str], RedisLink]) -> None:
    link = up(own_redis.url)
    clients = len(own_redis.client.client_list())
    for _ in range(5):
        own_redis.pause()
        failing_seconds(link)
        link.mend()
        own_redis.resume()
        assert link.mend() is not None
    until(lambda: len(own_redis.client.client_list()) == clients)
    assert threading.active_count() < 20
