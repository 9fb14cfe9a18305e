"""A15, A16: nothing but the parsed path chooses the route, and nothing but two headers the caller."""

from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import CHAT, STREAM, Owed, get, nothing_left, refusal
from tests.live.pairs import LIMITS

MODELS = "/v1/models"
MISSING, NO_ROUTE = (401, "missing_credentials"), (404, "route_not_found")
PATHS = {
    "/health/../v1/models": NO_ROUTE,
    "/health/live/../../v1/models": NO_ROUTE,
    "//v1/models": MISSING,
    "/v1//models": NO_ROUTE,
    "/v1/models?/health/live": MISSING,
    "/v1/models#/health/live": MISSING,
    "/v1/models;/health/live": NO_ROUTE,
}
# What a careless front would take for a health check, or for a key.
DISGUISES = [
    ("X-Original-URL", "/health/live"),
    ("X-Rewrite-URL", "/health/live"),
    ("X-Forwarded-Uri", "/health/live"),
    ("X-Forwarded-Prefix", "/health"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-HTTP-Method-Override", "OPTIONS"),
    ("User-Agent", "kube-probe/1.29"),
    ("User-Agent", "ELB-HealthChecker/2.0"),
    ("X_API_KEY", "{key}"),
    ("AUTHORIZATION_", "Bearer {key}"),
    ("SCRIPT_NAME", "/v1"),
    ("SCRIPT_NAME", "/v1/models"),
    ("PATH_INFO", "/health/live"),
    ("REMOTE_USER", "admin"),
    ("Cookie", "api_key={key}"),
    ("Proxy-Authorization", "Bearer {key}"),
]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """With room for many failing attempts from one address."""
    environ = {**LIMITS, "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000"}
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def test_a_path_that_looks_like_another_needs_a_key_all_the_same(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = len(PATHS)
    for path, refused in PATHS.items():
        with subtests.test(path):
            assert refusal(caller, get(caller, path, key="")) == refused
    assert upstream.received == b""


def test_a_disguise_does_not_replace_a_key(
    upstream: ScriptedUpstream, caller: RawCaller, key: str, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = len(DISGUISES)
    for name, value in DISGUISES:
        with subtests.test(f"{name}: {value}"):
            head = get(caller, MODELS, (name, value.format(key=key)), key="")
            assert refusal(caller, head) == (401, "missing_credentials")
    assert upstream.received == b""


def test_a_disguise_changes_nothing_for_a_good_request(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = len(DISGUISES)
    for name, value in DISGUISES:
        with subtests.test(f"{name}: {value}"):
            caller.post(CHAT, STREAM, [(name, value.format(key="other"))])
            assert caller.read_head()[0] == 200
            caller.read_all()
    assert {(sent.method, sent.path) for sent in upstream.requests} == {("POST", CHAT)}


def test_the_host_header_chooses_neither_route_nor_upstream(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], key: str, owed: Owed
) -> None:
    owed.requests = None  # what gunicorn refuses is no request
    for host in ("h/#@x", "169.254.169.254", "evil.example:1", "user:pass@evil.example"):
        with new_caller() as caller:
            caller.send(f"GET {MODELS} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
            assert caller.read_head()[0] in (200, 400, 421), host
    own = (MODELS, f"127.0.0.1:{upstream.port}")
    assert {(sent.path, sent.header("host")) for sent in upstream.requests} <= {own}
