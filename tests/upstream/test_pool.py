"""The connections at hand: kept in a bounded number, given up when stale, and all of them once retired."""

import ssl
from dataclasses import replace
from queue import Empty, Full
from typing import Any

import pytest

from relay.core.targets import Target
from relay.upstream import pool
from relay.upstream.pool import AtHand, Pool
from relay.upstream.upstreams import Upstreams
from tests.live.bench.certificates import Certificates
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.upstream.conftest import KEY, Ask, target_of
from tests.upstream.test_connections import one_request


class Connection:
    """An idle one."""

    def __init__(self, is_connected: bool = True) -> None:
        self.is_connected, self.is_closed = is_connected, False

    def close(self) -> None:
        self.is_closed = True


def test_the_path_of_the_base_url_is_kept_and_its_last_slash_is_not() -> None:
    for base_url, path in (("http://h:1/v1", "/v1"), ("http://h:1/a/b/", "/a/b"), ("http://h:1", "")):
        pool = Pool(Target("t", base_url, KEY), 1)
        assert (pool.path, pool.connections.host, pool.connections.port) == (path, "h", 1)


def test_pools_differ_by_their_targets_authority(certificates: Certificates) -> None:
    public = Pool(Target("a", "https://h/v1", KEY), 1)
    private = Pool(Target("b", "https://h/v1", KEY, ca_file=str(certificates.ca_file)), 1)
    contexts = [pool.connections.conn_kw["ssl_context"] for pool in (public, private)]
    assert all(c.verify_mode == ssl.CERT_REQUIRED and c.check_hostname for c in contexts)
    assert len(contexts[0].get_ca_certs()) > 20
    assert len(contexts[1].get_ca_certs()) == 1


def test_a_plain_upstream_loads_no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_trusting", lambda ca_file: pytest.fail("loaded"))
    Pool(Target("t", "http://h/v1", KEY), 1)


def test_the_connection_that_was_used_last_is_used_next_and_urllib3s_placeholders_are_none() -> None:
    at_hand, first, last = AtHand(2), Connection(), Connection()
    for connection in (None, first, None, last):
        at_hand.put(connection)
    assert at_hand.qsize() == 2
    assert [at_hand.get(), at_hand.get()] == [last, first]
    with pytest.raises(Empty):
        at_hand.get()


def test_no_more_are_kept_than_are_allowed() -> None:
    at_hand = AtHand(1)
    at_hand.put(Connection())
    with pytest.raises(Full):
        at_hand.put(Connection())


def test_what_has_gone_stale_is_closed_and_the_rest_keeps_its_order() -> None:
    at_hand, fresh, stale, last = AtHand(9), Connection(), Connection(is_connected=False), Connection()
    for connection in (fresh, stale, last):
        at_hand.put(connection)
    at_hand.drop_stale()
    assert (stale.is_closed, fresh.is_closed, at_hand.connections) == (True, False, [fresh, last])


def test_a_retired_pool_closes_what_it_has_and_what_comes_back() -> None:
    at_hand, kept = AtHand(9), Connection()
    at_hand.put(kept)
    at_hand.retire()
    assert (kept.is_closed, at_hand.qsize()) == (True, 0)
    with pytest.raises(Full):
        at_hand.put(Connection())


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
        answer.response.release_conn()
    until(lambda: upstream.open == 0, 2.0, "the end of the connection")


def test_authorities_are_read_again_where_a_file_names_them(certificates: Certificates, upstreams_of: Any) -> None:
    target = Target("private", "https://h/v1", KEY, ca_file=str(certificates.ca_file))
    upstreams: Upstreams = upstreams_of(target)
    before = upstreams._pool_of(target)
    upstreams.aim([target], 2, 2)
    assert upstreams._pool_of(target) is not before
    assert before.at_hand.is_retired
