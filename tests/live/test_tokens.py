"""Client tokens over a real server: forgeries, expiry under a running stream, and a budget that ends in one."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.hostile_tokens import Forger
from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import CHUNKED, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, Head, chunk
from tests.live.cases import ONE, STREAM, Owed, ask, assert_within, error_code, get, last_frame, nothing_left
from tests.live.pairs import LIMITS

PAGE = "https://app.example"
SETTINGS = {
    **LIMITS,
    "RELAY_CORS__ORIGINS": json.dumps([PAGE]),
    "RELAY_MODELS__PRICES": '{"gpt-test" = {input = 0.0, output = 1.0}}',
    "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000",
    "RELAY_STREAM__IDLE_SECONDS_MAX": "60",
}


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), SETTINGS)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.fixture(scope="module")
def forger(relay: RelayProcess) -> Forger:
    owners = []
    for name in ("forged", "other"):
        relay.create_key(name, rpm=0, concurrent=0)
        kid = json.loads(relay.command_line("keys", "show", name, "--json"))["id"]
        owners += [kid, relay.command_line("keys", "show", name, "--signing-secret").strip()]
    now = int(time.time())
    return Forger({"iss": "relay", "aud": "relay", "jti": "tok_1", "iat": now, "exp": now + 600}, *owners)


def endlessly(pieces: int, pause_seconds: float) -> Callable[[Connection], None]:
    """A stream of so many frames, and then a silence for as long as the caller stays."""

    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head(CHUNKED))
        for _ in range(pieces):
            conn.send(chunk(ONE))
            conn.stall(pause_seconds)
        conn.wait_closed(30)

    return script


def asked(caller: RawCaller, key: str) -> tuple[Head, bytes]:
    head = get(caller, "/v1/models", ("Origin", PAGE), key=key)
    return head, caller.read_all()


def test_every_forgery_gets_the_same_answer_and_the_page_can_read_it(
    relay: RelayProcess, forger: Forger, owed: Owed
) -> None:
    forgeries = dict(forger.all())
    owed.requests = None
    told: dict[str, tuple[int, bytes]] = {}
    with RawCaller(relay.port) as caller:
        for name, token in forgeries.items():
            head, body = asked(caller, token)
            assert head.header("access-control-allow-origin") == PAGE, name
            told[name] = (head.status, body)
        wanted = asked(caller, "rk_" + "0" * 38)
        assert asked(caller, forger.token())[0].status == 200
    assert len(told) >= 60
    assert set(told.values()) == {(401, wanted[1])}
    assert b"invalid_api_key" in wanted[1]


def test_no_forgery_is_in_any_log(relay: RelayProcess, forger: Forger, owed: Owed) -> None:
    owed.requests = None
    with RawCaller(relay.port) as caller:
        assert asked(caller, forger.token())[0].status == 200
        assert asked(caller, forger.token(secret="x"))[0].status == 401
    said = relay.stdout() + relay.stderr()
    assert forger.token().split(".")[1] not in said
    assert forger.secret not in said


def test_a_backend_of_its_own_mints_with_any_library(relay: RelayProcess, forger: Forger, owed: Owed) -> None:
    now = int(time.time())
    claims = {"iss": "relay", "aud": "relay", "sub": "user-42", "jti": "abc-1", "iat": now, "exp": now + 300}
    text = jwt.encode({**claims, "origins": [PAGE]}, forger.secret, "HS256", headers={"kid": forger.kid})
    owed.requests = 2
    with RawCaller(relay.port) as caller:
        assert asked(caller, "ek_" + text)[0].status == 200
        assert get(caller, "/v1/models", key="ek_" + text).status == 403
        caller.read_all()


def test_a_stream_outlives_its_token_and_nothing_new_begins(
    upstream: ScriptedUpstream, relay: RelayProcess, forger: Forger, owed: Owed
) -> None:
    """A12: a token of one second, and a stream of three."""

    def three_seconds(conn: Connection) -> None:
        conn.read_request()
        conn.send(sse_head(CHUNKED) + chunk(ONE))
        conn.stall(3.0)
        conn.send(chunk(b"data: [DONE]\n\n") + LAST_CHUNK)

    upstream.answer(three_seconds)
    owed.requests = 2
    token = forger.token(jti="short", iat=time.time() - 60, exp=time.time() + 1)
    with RawCaller(relay.port, key=token) as caller, RawCaller(relay.port, key=token) as late:
        assert ask(caller).status == 200
        time.sleep(1.5)
        refused = ask(late)
        assert (refused.status, b"token_expired" in late.read_all()) == (401, True)
        assert (b"[DONE]" in caller.read_all(), caller.ended_cleanly) == (True, True)


@pytest.mark.parametrize("whose", ["key", "token"])
def test_a_stream_ends_when_its_budget_does(
    upstream: ScriptedUpstream, relay: RelayProcess, owed: Owed, whose: str
) -> None:
    """One dollar a million frames: 0.0001 dollars are reserved, and there is not another 0.001024."""
    upstream.answer(endlessly(300, 0.0))
    name = f"budget of a {whose}"
    limits: dict[str, Any] = {"budget_usd": 0.001} if whose == "key" else {}
    credential = relay.create_key(name, rpm=0, **limits)
    if whose == "token":
        credential = relay.command_line("tokens", "mint", name, "--cost-usd", "0.001").strip()
    owed.requests = 2
    with RawCaller(relay.port, key=credential) as caller:
        assert ask(caller, {**STREAM, "max_tokens": 100}).status == 200
        begun = time.monotonic()
        body = caller.read_all()
        assert_within(5.0, begun)
        assert error_code(last_frame(body)) == "budget_exhausted"
        assert not caller.ended_cleanly
    assert_within(5.0, begun, upstream.wait_for_peer_close())
    assert (owed.line()["end"], owed.line()["status"]) == ("budget", 200)
    with RawCaller(relay.port, key=credential) as caller:
        assert get(caller, "/v1/usage").status == 200
        fields = json.loads(caller.read_all())
    if whose == "key":
        assert fields["budget"] == {"spent_usd": 0.0003, "estimated_usd": 0.0003, "reserved_usd": 0.0}
    assert fields["remaining"]["budget_usd" if whose == "key" else "cost_usd"] == 0.0007


def test_a_stream_within_its_budget_is_left_alone(
    upstream: ScriptedUpstream, relay: RelayProcess, owed: Owed, tmp_path: Path
) -> None:
    upstream.answer(endlessly(100, 0.0))
    key = relay.create_key("budget that lasts", rpm=0, budget_usd=0.001)
    with RawCaller(relay.port, key=key) as caller:
        assert ask(caller, {**STREAM, "max_tokens": 100}).status == 200
        caller.read_until(ONE)
        time.sleep(2.5)
        caller.read_until(b": ping\n\n")
        assert not caller.closed
