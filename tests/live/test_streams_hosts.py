"""Streams that can be resumed, on two hosts which share Redis, PostgreSQL and a secret: resumed on either."""

import contextlib
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import running_redis
from tests.live.bench.hosts import SKIPPED, Host, hosts, possible
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.returning import Counting, Taken, begin, come_back, read_with_cuts, state_of
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.workers import PATIENT
from tests.stores import postgresql_server

SEED = 20_261_121
CUTS = [20, pytest.param(200, marks=pytest.mark.soak)]
FRAMES = 2_000


@dataclass
class Sites:
    """A relay on each of two hosts, one upstream, one key that both know."""

    relays: list[RelayProcess]
    upstream: ScriptedUpstream
    key: str

    @property
    def ports(self) -> list[int]:
        return [relay.port for relay in self.relays]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    programs = postgresql_server.installed()
    if programs is None or not possible():
        pytest.skip(SKIPPED)
    secret = secrets.token_hex(32)
    with contextlib.ExitStack() as stack:
        upstream = ScriptedUpstream().start()
        stack.callback(upstream.stop)
        redis_url = stack.enter_context(running_redis()).url
        database_url = stack.enter_context(postgresql_server.serving(programs)).url
        relays = []
        for host in stack.enter_context(hosts(2)):
            directory = tmp_path_factory.mktemp(host.name)
            shared = {"REDIS_URL": redis_url, "DATABASE_URL": database_url}
            relays.append(relay_on(host, directory, upstream.base_url, shared, secret))
            stack.callback(relays[-1].stop)
        for relay in relays:
            relay.wait_ready()
        key = relays[0].create_key("both", rpm=1_000_000, concurrent=1_000)
        yield Sites(relays, upstream, key)
    upstream.check()


def relay_on(host: Host, directory: Path, base_url: str, shared: dict[str, str], secret: str) -> RelayProcess:
    lent = {name: host.lend(url) for name, url in shared.items()}
    environ = {**PATIENT, **lent, "RELAY_AUTH__TOKEN_SECRET": secret, "RELAY_SERVER__BIND": "0.0.0.0:8000"}
    relay = RelayProcess(host.lend(base_url), directory, environ, host.prefix)
    host.publish(relay.port)
    return relay


@pytest.mark.parametrize("cuts", CUTS)
def test_a_caller_that_is_cut_goes_on_at_the_other_host_and_reads_every_frame_once(sites: Sites, cuts: int) -> None:
    dice = random.Random(SEED)
    counting = Counting(FRAMES, burst=FRAMES // cuts, pause_seconds=0.02)
    sites.upstream.answer(counting.script)
    points = sorted(dice.sample(range(1, FRAMES), cuts))
    taken = read_with_cuts(sites.ports, sites.key, points, dice)
    assert (taken.texts, taken.is_whole, counting.calls) == (counting.texts, True, 1)
    for port in sites.ports:
        until(lambda port=port: text_of(port, sites.key, taken) == "".join(counting.texts), what="its text")


def text_of(port: int, key: str, taken: Taken) -> object:
    """Another process' copy is a few milliseconds late."""
    return state_of(port, key, taken.stream_id)["text"]


def test_a_claim_holds_on_both_hosts_and_a_cancel_reaches_the_other(sites: Sites) -> None:
    counting = Counting(1_000, burst=1, pause_seconds=0.01, stop_at=10)
    sites.upstream.answer(counting.script)
    one, other = sites.ports
    claim = ("Idempotency-Key", "once")
    with begin(one, sites.key, claim) as caller, begin(other, sites.key, claim) as again:
        taken, same = Taken().read(caller, 10), Taken().read(again, 10)
        assert (taken.stream_id, taken.texts) == (same.stream_id, same.texts)
        with RawCaller(other, key=sites.key) as canceller:
            canceller.post(f"/v1/streams/{taken.stream_id}/cancel", {})
        sites.upstream.wait_for_peer_close(timeout_seconds=2.0)
        assert [each.read_on(reader).error for each, reader in ((taken, caller), (same, again))] == ["cancelled"] * 2
    assert counting.calls == 1


def test_when_a_host_is_shut_down_readers_on_the_other_are_told(sites: Sites) -> None:
    """The last test: it ends the first host's relay."""
    counting = Counting(1_000, burst=1, pause_seconds=0.01, stop_at=10)
    sites.upstream.answer(counting.script)
    one, other = sites.relays
    with begin(one.port, sites.key) as caller:
        taken = Taken().read(caller, 10)
        with come_back(other.port, sites.key, Taken(taken.stream_id)) as reader:
            followed = Taken(taken.stream_id).read(reader, 10)
            assert one.stop() == 0
            followed.read_on(reader)
    assert (followed.texts, followed.error) == (counting.texts[:10], "relay_draining")
    state = state_of(other.port, sites.key, taken.stream_id)
    assert (state["status"], state["last_seq"]) == ("failed", 11)
