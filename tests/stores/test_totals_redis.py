"""Totals in Redis: shared by processes, and gone when nothing of the token can run any more."""

from relay.core.spending import Amounts
from relay.core.tokens import TokenLimits
from relay.stores.redis_link import RedisLink
from relay.stores.totals import KEPT_SECONDS
from relay.stores.totals_redis import RedisTotals
from tests.stores.redis_server import RedisServer


def test_two_processes_share_one_total(link: RedisLink, other_link: RedisLink) -> None:
    one, other, limits = RedisTotals(link), RedisTotals(other_link), TokenLimits(requests=3)
    assert [totals.take("a", limits, 0) for totals in (one, other, one, other)] == ["", "", "", "requests"]
    other.add("a", Amounts(0, 5, 7))
    assert one.look("a") == Amounts(3, 5, 7)


def test_all_of_it_expires_and_every_change_prolongs_it(link: RedisLink, redis: RedisServer) -> None:
    totals = RedisTotals(link)
    totals.take("a", TokenLimits(requests=3), 5)
    assert redis.client.ttl("relay:token:a") == KEPT_SECONDS
    for change in (Amounts(0, 1, 0), Amounts(-1, 0, -5), Amounts()):
        redis.client.expire("relay:token:a", 100)
        totals.add("a", change)
        assert KEPT_SECONDS - 60 < redis.client.ttl("relay:token:a") <= KEPT_SECONDS


def test_a_refused_request_leaves_nothing(link: RedisLink, redis: RedisServer) -> None:
    assert RedisTotals(link).take("a", TokenLimits(cost_usd=0.000000004), 5) == "cost_usd"
    assert redis.client.keys("relay:token:*") == []
