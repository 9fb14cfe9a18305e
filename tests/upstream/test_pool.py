"""The connections to one upstream: kept in a bounded number, given up when stale, and all of them once retired."""

import ssl
from dataclasses import replace
from typing import Any

import pytest

from relay.core.targets import Target
from relay.upstream import pool
from relay.upstream.pool import Pool
from relay.upstream.upstreams import Upstreams
from tests.live.bench.certificates import Certificates
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.upstream.conftest import KEY, Ask, target_of
from tests.upstream.test_connections import one_request


class Connection:
    """An idle one."""

    def __init__(self, is_usable: bool = True) -> None:
        self.is_usable, self.is_closed, self.idle_since = is_usable, False, 0.0

    def close(self) -> None:
        self.is_closed = True


def test_the_path_of_the_base_url_is_kept_and_its_last_slash_is_not() -> None:
    for base_url, path in (("http://h:1/v1", "/v1"), ("http://h:1/a/b/", "/a/b"), ("http://h:1", "")):
        pool = Pool(Target("t", base_url, KEY), 1)
        assert (pool.path, pool.host, pool.take().port) == (path, "h:1", 1)


def test_pools_differ_by_their_targets_authority(certificates: Certificates) -> None:
    public = Pool(Target("a", "https://h/v1", KEY), 1)
    private = Pool(Target("b", "https://h/v1", KEY, ca_file=str(certificates.ca_file)), 1)
    contexts = [pool.take().ssl_context for pool in (public, private)]
    assert all(c.verify_mode == ssl.CERT_REQUIRED and c.check_hostname for c in contexts)
    assert len(contexts[0].get_ca_certs()) > 20
    assert len(contexts[1].get_ca_certs()) == 1


def test_a_plain_upstream_loads_no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_trusting", lambda ca_file: pytest.fail("loaded"))
    Pool(Target("t", "http://h/v1", KEY), 1)


@pytest.fixture
def pool_of_two() -> Pool:
    return Pool(Target("t", "http://h/v1", KEY), 2)


def test_the_connection_that_was_used_last_is_used_next_and_then_new_ones(pool_of_two: Pool) -> None:
    first, last = Connection(), Connection()
    pool_of_two.put(first)
    pool_of_two.put(last)
    assert [pool_of_two.take(), pool_of_two.take()] == [last, first]
    assert pool_of_two.take().sock is None


def test_no_more_are_kept_than_are_allowed(pool_of_two: Pool) -> None:
    connections = [Connection() for _ in range(3)]
    for connection in connections:
        pool_of_two.put(connection)
    assert [connection.is_closed for connection in connections] == [False, False, True]


def test_what_is_not_usable_any_more_is_closed_and_not_taken(pool_of_two: Pool) -> None:
    usable, stale = Connection(), Connection(is_usable=False)
    pool_of_two.put(usable)
    pool_of_two.put(stale)
    assert pool_of_two.take() is usable
    assert stale.is_closed


def test_what_has_gone_stale_is_closed_and_the_rest_keeps_its_order() -> None:
    pool = Pool(Target("t", "http://h/v1", KEY), 9)
    fresh, stale, last = Connection(), Connection(is_usable=False), Connection()
    for connection in (fresh, stale, last):
        pool.put(connection)
    pool.drop_stale()
    assert (stale.is_closed, fresh.is_closed, pool.at_hand) == (True, False, [fresh, last])


def test_a_retired_pool_closes_what_it_has_and_what_comes_back(pool_of_two: Pool) -> None:
    kept, late = Connection(), Connection()
    pool_of_two.put(kept)
    pool_of_two.retire()
    pool_of_two.put(late)
    assert (kept.is_closed, late.is_closed, pool_of_two.at_hand) == (True, True, [])


def test_a_connection_goes_on_where_the_same_place_is_aimed_at_with_another_key(
    upstream: ScriptedUpstream, upstreams_of: Any
) -> None:
    target = target_of(upstream)
    upstreams = upstreams_of(target)
    one_request(upstreams, target)
    other = replace(target, name="renamed", api_key="sk-another-key-12345")
    upstreams.aim([other], 2, 2)
    one_request(upstreams, other)
    assert (upstream.accepted, len(upstream.requests)) == (1, 2)


def test_connections_to_a_place_that_is_no_longer_aimed_at_end_with_their_requests(
    upstream: ScriptedUpstream, upstreams_of: Any
) -> None:
    target = target_of(upstream)
    upstreams: Upstreams = upstreams_of(target)
    one_request(upstreams, target)
    with upstreams.open([target], Ask()) as answer:
        upstreams.aim([replace(target, base_url="http://127.0.0.1:9/v1")], 2, 2)
        assert upstream.open == 1
        answer.give_back()
    until(lambda: upstream.open == 0, 2.0, "the end of the connection")


def test_authorities_are_read_again_where_a_file_names_them(certificates: Certificates, upstreams_of: Any) -> None:
    target = Target("private", "https://h/v1", KEY, ca_file=str(certificates.ca_file))
    upstreams: Upstreams = upstreams_of(target)
    before = upstreams._pool_of(target)
    upstreams.aim([target], 2, 2)
    assert upstreams._pool_of(target) is not before
    assert before.is_retired
