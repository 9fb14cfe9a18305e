"""Tokens per minute in Redis: what is left there, and what a clock that was set back leaves."""

import time

from relay.stores.redis_link import RedisLink
from relay.stores.token_rates import KEPT_SECONDS
from relay.stores.token_rates_redis import RedisTokenRates
from tests.stores.redis_server import RedisServer

NAME = "relay:tpm:a"


def test_all_of_it_expires(link: RedisLink, redis: RedisServer) -> None:
    RedisTokenRates(link).charge("a", 5)
    assert 60 < redis.client.ttl(NAME) <= KEPT_SECONDS + 1


def test_sums_that_left_the_window_are_dropped(link: RedisLink, redis: RedisServer) -> None:
    now, rates = int(time.time()), RedisTokenRates(link)
    redis.client.hset(NAME, mapping={str(now - 62): 7, str(now - 30): 5, str(now + 3_600): 1_000})
    assert rates.look("a", 100).remaining == 95
    rates.charge("a", 5)
    assert rates.look("a", 100).remaining == 90
    assert redis.client.hlen(NAME) == 2
