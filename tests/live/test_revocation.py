"""A12 and `keys rotate`: a revoked key ends what it has running within five seconds, and starts nothing more."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, Script, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import chunk
from tests.live.cases import (
    CHAT,
    ONE,
    STREAM,
    Owed,
    ask,
    assert_within,
    endless,
    error_code,
    held,
    last_frame,
    nothing_left,
    refusal,
)
from tests.live.pairs import LIMITS

IN_FORCE_SECONDS_MAX = 5.0
# Nothing but the revocation may end a stream here.
PATIENT = {
    **LIMITS,
    "RELAY_STREAM__IDLE_SECONDS_MAX": "60",
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "60",
    "RELAY_STREAM__EARLY_OPEN_SECONDS": "2",
}


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), PATIENT)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@dataclass(frozen=True)
class OwnKey:
    """A key of one test's own."""

    relay: RelayProcess
    name: str
    secret: str

    def revoke(self) -> float:
        """Return when the revocation was written."""
        self.relay.command_line("keys", "revoke", self.name)
        return time.monotonic()

    def rotate(self, overlap: str) -> str:
        """Return the new secret."""
        new = self.relay.command_line("keys", "rotate", self.name, "--overlap", overlap).strip()
        self.relay.secrets[f"the new key {self.name}"] = new
        return new


@pytest.fixture
def own_key(relay: RelayProcess, request: pytest.FixtureRequest) -> OwnKey:
    name = str(request.node.name)[:60]
    return OwnKey(relay, name, relay.create_key(name, rpm=1_000_000))


def talking(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    endless(conn, ONE)


def silent(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head() + chunk(ONE))
    held(conn)


def headless(conn: Connection) -> None:
    conn.read_request()
    held(conn)


@pytest.mark.parametrize("script", [talking, silent])
def test_a_revoked_key_ends_its_running_stream(
    upstream: ScriptedUpstream, relay: RelayProcess, own_key: OwnKey, owed: Owed, script: Script
) -> None:
    upstream.answer(script)
    with RawCaller(relay.port, key=own_key.secret) as caller:
        assert ask(caller).status == 200
        caller.read_until(ONE)
        revoked = own_key.revoke()
        body = caller.read_all()
        assert_within(IN_FORCE_SECONDS_MAX, revoked)
        assert error_code(last_frame(body)) == "key_revoked"
        assert (caller.ended_cleanly, caller.closed, caller.was_reset) == (False, True, False)
    assert DONE not in body
    assert_within(IN_FORCE_SECONDS_MAX, revoked, upstream.wait_for_peer_close())
    assert (owed.line()["end"], owed.line()["status"]) == ("revoked", 200)


def test_another_keys_stream_goes_on(
    upstream: ScriptedUpstream, relay: RelayProcess, key: str, own_key: OwnKey, owed: Owed
) -> None:
    owed.requests = 2
    upstream.answer(silent)
    with RawCaller(relay.port, key=own_key.secret) as ended, RawCaller(relay.port, key=key) as other:
        assert (ask(ended).status, ask(other).status) == (200, 200)
        own_key.revoke()
        ended.read_all()
        other.read_until(b": ping\n\n")
        assert not other.closed


def test_a_revoked_key_ends_its_wait_for_an_upstream(
    upstream: ScriptedUpstream, relay: RelayProcess, own_key: OwnKey, owed: Owed
) -> None:
    upstream.answer(headless)
    with RawCaller(relay.port, key=own_key.secret) as caller:
        caller.post(CHAT, {**STREAM, "stream": False})
        upstream.wait_for_requests(1)
        revoked = own_key.revoke()
        assert refusal(caller, caller.read_answer_head()) == (401, "invalid_api_key")
        assert_within(IN_FORCE_SECONDS_MAX, revoked)
    assert_within(IN_FORCE_SECONDS_MAX, revoked, upstream.wait_for_peer_close())
    assert (owed.line()["end"], owed.line()["status"]) == ("revoked", 401)


def test_a_revoked_key_ends_a_stream_that_opened_before_its_upstream_answered(
    upstream: ScriptedUpstream, relay: RelayProcess, own_key: OwnKey, owed: Owed
) -> None:
    upstream.answer(headless)
    with RawCaller(relay.port, key=own_key.secret) as caller:
        assert ask(caller).status == 200
        revoked = own_key.revoke()
        body = caller.read_all()
        assert_within(IN_FORCE_SECONDS_MAX, revoked)
        assert error_code(last_frame(body)) == "key_revoked"
        assert not caller.ended_cleanly
    assert_within(IN_FORCE_SECONDS_MAX, revoked, upstream.wait_for_peer_close())
    assert (owed.line()["end"], owed.line()["status"]) == ("revoked", 200)


def test_both_keys_of_a_rotation_hold_while_they_overlap_and_one_revocation_ends_both(
    upstream: ScriptedUpstream, relay: RelayProcess, own_key: OwnKey, owed: Owed
) -> None:
    owed.requests = None
    keys = [own_key.secret, own_key.rotate("1h")]
    with RawCaller(relay.port) as caller:
        assert [lists_models(caller, key) for key in keys] == [200, 200]
        revoked = own_key.revoke()
        until(lambda: [lists_models(caller, key) for key in keys] == [401, 401], IN_FORCE_SECONDS_MAX, "the refusal")
        assert_within(IN_FORCE_SECONDS_MAX, revoked)


def test_the_old_key_of_a_rotation_ends_with_the_overlap(
    upstream: ScriptedUpstream, relay: RelayProcess, own_key: OwnKey, owed: Owed
) -> None:
    owed.requests = None
    other = OwnKey(relay, "no overlap", relay.create_key("no overlap", rpm=1_000_000))
    with RawCaller(relay.port) as caller:
        assert [lists_models(caller, old.secret) for old in (own_key, other)] == [200, 200]
        new = [own_key.rotate("2s"), other.rotate("0")]
        until(lambda: lists_models(caller, other.secret) == 401, IN_FORCE_SECONDS_MAX, "the end without overlap")
        until(lambda: lists_models(caller, own_key.secret) == 401, 2 + IN_FORCE_SECONDS_MAX, "the overlap's end")
        assert [lists_models(caller, key) for key in new] == [200, 200]


def lists_models(caller: RawCaller, key: str) -> int:
    """The status of a request that needs a key and starts nothing upstream; not too many in a second."""
    time.sleep(0.05)
    caller.request("HEAD", "/v1/models", key=key)
    return caller.read_head()[0]
