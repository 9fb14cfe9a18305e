"""A13: who guesses keys is told 20 times a minute that they are wrong, and then nothing more; good keys pass."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.live.bench import canaries
from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, crew_of, running_redis
from tests.live.bench.many_callers import in_parallel
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import Head
from tests.live.bench.workers import connections_of
from tests.live.cases import ASK, CHAT, ask, refusal

PER_MINUTE = 20
LIMIT = {"RELAY_AUTH__FAILURES_PER_MINUTE": str(PER_MINUTE)}
CALLERS, TRIES_EACH = 30, 4
INVALID, LIMITED = (401, "invalid_api_key"), (429, "auth_rate_limited")
WRONG = ("Bearer rk_" + "x" * 38, "Basic canary-basic-Qz7", "Bearer rk_canary-guess-Ks82")
GUESSES = {"a guess": "canary-guess-Ks82", "its beginning": "rk_canary", "another scheme": "canary-basic-Qz7"}
StartRelay = Callable[..., RelayProcess]


def tried(caller: RawCaller, authorization: str, address: str = "") -> tuple[int, str]:
    return refusal(caller, head_of(caller, authorization, address))


def head_of(caller: RawCaller, authorization: str, address: str = "") -> Head:
    forwarded = [("X-Forwarded-For", address)] if address else []
    caller.post(CHAT, ASK, [("Authorization", authorization), *forwarded], key="")
    return caller.read_answer_head()


def passes(caller: RawCaller, key: str, *address: str) -> bool:
    head = head_of(caller, f"Bearer {key}", *address)
    return (head.status, caller.read_all() != b"") == (200, True)


@pytest.fixture
def limited(upstream: ScriptedUpstream, start_relay: StartRelay) -> RelayProcess:
    return start_relay(upstream.base_url, **LIMIT)


@pytest.fixture
def caller(limited: RelayProcess) -> Iterator[RawCaller]:
    with RawCaller(limited.port) as caller:
        yield caller


def test_twenty_wrong_keys_are_told_alike_and_the_next_learns_nothing(
    limited: RelayProcess, caller: RawCaller, upstream: ScriptedUpstream
) -> None:
    good, revoked = limited.create_key("good"), limited.create_key("revoked")
    limited.command_line("keys", "revoke", "revoked")
    wrong = [*WRONG, f"Bearer {revoked}"]
    bodies = set()
    for number in range(PER_MINUTE):
        assert head_of(caller, wrong[number % len(wrong)]).status == 401
        bodies.add(caller.read_all())
    assert len(bodies) == 1
    for authorization in wrong:
        head = head_of(caller, authorization)
        assert (head.header("x-should-retry"), head.header("www-authenticate")) == ("false", None)
        assert 1 <= int(head.header("retry-after") or 0) <= 60
        assert refusal(caller, head) == LIMITED
    assert [request for request in upstream.requests if request.method == "POST"] == []
    assert passes(caller, good), "a good key from there"
    said = {"the log": limited.stdout() + limited.stderr()}
    canaries.assert_absent(said, {**GUESSES, "a revoked key": revoked, "its random part": revoked[3:15]})


def test_what_is_no_guess_is_not_counted(limited: RelayProcess, caller: RawCaller) -> None:
    """No key at all, two that differ, or one in the query."""
    for _ in range(PER_MINUTE):
        assert refusal(caller, ask(caller, ASK)) == (401, "missing_credentials")
        caller.post(CHAT, ASK, [("Authorization", "Bearer a"), ("X-API-Key", "b")])
        assert refusal(caller, caller.read_answer_head()) == (400, "ambiguous_credentials")
        assert refusal(caller, ask(caller, ASK, f"{CHAT}?key=a")) == (400, "key_in_query")
    assert tried(caller, WRONG[0]) == INVALID


def test_good_keys_between_the_wrong_ones_are_not_counted(limited: RelayProcess, caller: RawCaller) -> None:
    key = limited.create_key("good", rpm=1_000)
    for _ in range(PER_MINUTE):
        assert passes(caller, key)
        assert tried(caller, WRONG[0]) == INVALID
    assert tried(caller, WRONG[0]) == LIMITED


@pytest.mark.parametrize(
    ("guilty", "also_guilty", "innocent"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("198.51.100.1, 203.0.113.7", "198.51.100.2, 203.0.113.7", "203.0.113.7, 198.51.100.1"),
    ],
    ids=["IPv4", "IPv6", "what the proxy appended"],
)
def test_another_address_is_not_affected(
    upstream: ScriptedUpstream, start_relay: StartRelay, guilty: str, also_guilty: str, innocent: str
) -> None:
    relay = start_relay(upstream.base_url, **LIMIT, RELAY_SERVER__TRUSTED_PROXIES="1")
    with RawCaller(relay.port) as caller:
        assert {tried(caller, WRONG[0], guilty) for _ in range(PER_MINUTE)} == {INVALID}
        assert tried(caller, WRONG[0], also_guilty) == LIMITED
        assert tried(caller, WRONG[0], innocent) == INVALID
        assert passes(caller, relay.create_key("good"), guilty)


def test_without_a_trusted_proxy_an_address_is_not_believed(limited: RelayProcess, caller: RawCaller) -> None:
    assert {tried(caller, WRONG[0], f"203.0.113.{number}") for number in range(PER_MINUTE)} == {INVALID}
    assert tried(caller, WRONG[0], "203.0.113.200") == LIMITED


@pytest.mark.parametrize("workers", [1, WORKERS], ids=["memory", "redis"])
def test_of_many_guesses_at_once_exactly_twenty_are_told(
    tmp_path_factory: pytest.TempPathFactory, workers: int
) -> None:
    """It denies where Redis answers too late: so a busy machine is told from a limit that is not exact."""
    with ExitStack() as stack:
        url = stack.enter_context(running_redis()).url if workers > 1 else ""
        deny = {"RELAY_LIMITS__ON_STORE_ERROR": "deny"}
        crew = stack.enter_context(crew_of(workers, url, tmp_path_factory.mktemp("crew"), **deny))
        callers = [stack.enter_context(RawCaller(crew.relay.port)) for _ in range(CALLERS)]
        key = crew.new_key()
        came = in_parallel([lambda c=caller: guesses(c) for caller in callers])
        spread = connections_of(crew.relay, [caller.sock.getsockname()[1] for caller in callers])
        assert passes(callers[0], key)
    print(f"{dict(came)} over {sorted(spread.values())}")
    assert len(spread) > 1 or workers == 1
    late = came["store_unavailable"]
    assert PER_MINUTE - late <= came["invalid_api_key"] <= PER_MINUTE
    assert came["auth_rate_limited"] + came["invalid_api_key"] + late == CALLERS * TRIES_EACH


def guesses(caller: RawCaller) -> list[str]:
    return [tried(caller, f"Bearer rk_{number:038}")[1] for number in range(TRIES_EACH)]
