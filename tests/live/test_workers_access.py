"""I5: a revocation reaches every worker within five seconds. And who may read the figures, as CONTRACT 2 has it."""

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.many_callers import BODY, CHAT
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.waiting import until
from tests.live.bench.workers import one_caller_each, several
from tests.live.cases import error_code, last_frame

IN_FORCE_SECONDS_MAX = 5.0
TOKEN = "metrics-canary-0123456789-abcdefgh"
SPOOFED = ("X-Forwarded-For", "127.0.0.1")
FORWARDS = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
NO_TOKEN: list[tuple[str, str]] = []
RIGHT, WRONG = [("Authorization", f"Bearer {TOKEN}")], [("Authorization", f"Bearer {TOKEN}x")]
FORWARDED = [("X-Forwarded-For", "::1"), ("Forwarded", "for=127.0.0.1"), ("X-Real-IP", "127.0.0.1"), ("Via", "1.1 x")]


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    directory = tmp_path_factory.mktemp("crew")
    with running_redis() as redis, crew_of(WORKERS, redis.url, directory) as crew:
        yield crew


@pytest.fixture(scope="module")
def guarded(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Has a metrics token, and trusts what one proxy says of the caller's address."""
    environ = several(1, "", RELAY_SERVER__METRICS_TOKEN=TOKEN, RELAY_SERVER__TRUSTED_PROXIES="1")
    relay = RelayProcess(crew.upstream.base_url, tmp_path_factory.mktemp("guarded"), environ)
    relay.secrets["the metrics token"] = TOKEN
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


def test_a_revocation_is_in_force_in_every_worker_within_five_seconds(crew: Crew) -> None:
    """Each worker has the key in its cache, and a stream of it running."""
    crew.new_round()
    crew.hold()
    key = crew.new_key(rpm=1_000_000, concurrent=100)
    with one_caller_each(crew.relay, WORKERS, key) as askers, one_caller_each(crew.relay, WORKERS, key) as streamers:
        for caller in streamers.values():
            caller.post(CHAT, {**BODY, "stream": True})
            assert caller.read_answer_head().status == 200
        assert [lists_models(caller) for caller in askers.values()] == [200] * WORKERS
        crew.relay.command_line("keys", "revoke", crew.last_name)
        revoked_at = time.monotonic()
        until(lambda: {lists_models(each) for each in askers.values()} == {401}, IN_FORCE_SECONDS_MAX, "four refusals")
        for caller in streamers.values():
            assert error_code(last_frame(caller.read_all(IN_FORCE_SECONDS_MAX))) == "key_revoked"
        took = time.monotonic() - revoked_at
        print(f"in force everywhere after {took:.1f} s")
        assert took <= IN_FORCE_SECONDS_MAX
        assert {lists_models(each) for each in askers.values()} == {401}


@pytest.mark.parametrize("forwarded", FORWARDED, ids=lambda header: header[0])
def test_what_a_proxy_passed_on_needs_the_token(
    crew: Crew, guarded: RelayProcess, forwarded: tuple[str, str], subtests: pytest.Subtests
) -> None:
    answers = {
        "a neighbour": (crew.relay, NO_TOKEN, 200),
        "through a proxy": (crew.relay, [forwarded], 401),
        "through a proxy, no token set": (crew.relay, [forwarded, *RIGHT], 401),
        "a neighbour, a token set": (guarded, NO_TOKEN, 200),
        "no token": (guarded, [forwarded], 401),
        "the wrong token": (guarded, [forwarded, *WRONG], 401),
        "the token": (guarded, [forwarded, *RIGHT], 200),
    }
    for name, (relay, headers, status) in answers.items():
        with subtests.test(name), RawCaller(relay.port) as caller:
            assert figures(caller, headers) == (status, status == 200)


def test_through_nginx_only_the_token_opens(
    crew: Crew, guarded: RelayProcess, start_nginx: Callable[[str], Nginx]
) -> None:
    """One that says for whom it asks: a proxy that adds no header looks like a neighbour, and nobody can tell."""
    ports = [start_nginx(stock_location(relay.port) + FORWARDS).port for relay in (guarded, crew.relay)]
    with RawCaller(ports[0]) as caller:
        assert figures(caller, RIGHT) == (200, True)
    for port, headers in itertools.product(ports, (NO_TOKEN, WRONG, [SPOOFED], [SPOOFED, *WRONG])):
        with RawCaller(port) as caller:
            assert figures(caller, headers) == (401, False)
    assert TOKEN not in guarded.stdout() + guarded.stderr()


def lists_models(caller: RawCaller) -> int:
    """The status of a request that needs a key and starts nothing upstream; not too many in a second."""
    time.sleep(0.02)
    caller.request("HEAD", "/v1/models")
    return caller.read_head()[0]


def figures(caller: RawCaller, headers: list[tuple[str, str]]) -> tuple[int, bool]:
    """The status, and whether there are figures in the answer."""
    caller.get("/metrics", headers)
    head = caller.read_answer_head()
    return head.status, b"relay_requests" in caller.read_all()
