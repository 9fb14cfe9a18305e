"""Client tokens where they live: the openai SDK in a page, in real Chromium, through nginx; refusals are readable."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from tests.live.bench.browser import Tab
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.page_server import PageServer
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import Owed, nothing_left
from tests.live.conftest import SHORT_LIMITS

pytest_plugins = ["tests.live.shared_browser"]

ELSEWHERE = "https://app.example"
Call = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def relay(
    module_upstream: ScriptedUpstream, pages: PageServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RelayProcess]:
    environ = {
        **SHORT_LIMITS,
        "RELAY_CORS__ORIGINS": json.dumps([pages.origin()]),
        "RELAY_MODELS__PRICES": '{"gpt-test" = {input = 1.0, output = 1.0}}',
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        relay.wait_ready().create_key("backend", rpm=10_000, concurrent=100)
        yield relay
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    """A page owes two log lines for its first request: the preflight's and its own."""
    with nothing_left(relay, upstream) as owed:
        owed.requests = 2
        yield owed


@pytest.fixture
def call(
    open_tab: Callable[[str], Tab], pages: PageServer, relay: RelayProcess, start_nginx: Callable[[str], Nginx]
) -> Call:
    """call("stream", token): what the page saw of it."""
    base_url = f"http://127.0.0.1:{start_nginx(stock_location(relay.port)).port}/v1"
    tab = open_tab(pages.origin() + "/sdk.html")
    return lambda name, token: tab.call(name, baseURL=base_url, apiKey=token)


def minted(relay: RelayProcess, *options: str) -> str:
    return relay.command_line("tokens", "mint", "backend", *options).strip()


def signed(relay: RelayProcess, algorithm: str = "HS256", **claims: object) -> str:
    """A token as a backend signs it by itself."""
    kid = json.loads(relay.command_line("keys", "show", "backend", "--json"))["id"]
    secret = relay.command_line("keys", "show", "backend", "--signing-secret").strip()
    now = int(time.time())
    body = {"iss": "relay", "aud": "relay", "sub": "page", "jti": "tok_page", "iat": now - 60, "exp": now + 600}
    key = secret if algorithm == "HS256" else ""
    return "ek_" + jwt.encode({**body, **claims}, key, algorithm, headers={"kid": kid})


def test_a_page_streams_with_a_token_of_its_own(call: Call, relay: RelayProcess, pages: PageServer, owed: Owed) -> None:
    token = minted(relay, "--origin", pages.origin(), "--sub", "user-42", "--scope", "chat")
    assert call("stream", token)["texts"] == ["Hello", " world", ""]
    assert call("completion", token)["text"] == "Hello world"
    owed.requests = 3


def test_a_token_that_a_backend_signed_streams_too(call: Call, relay: RelayProcess) -> None:
    assert call("stream", signed(relay))["texts"] == ["Hello", " world", ""]


REFUSED: dict[str, tuple[Callable[[RelayProcess], str], int, str]] = {
    "of another origin": (lambda relay: minted(relay, "--origin", ELSEWHERE), 403, "origin_not_allowed"),
    "for tasks alone": (lambda relay: minted(relay, "--scope", "tasks"), 403, "scope_not_allowed"),
    "for another model": (lambda relay: minted(relay, "--model", "other"), 403, "model_not_allowed"),
    "without money": (lambda relay: minted(relay, "--cost-usd", "0.0000001"), 429, "insufficient_quota"),
    "expired": (lambda relay: signed(relay, exp=int(time.time()) - 5), 401, "token_expired"),
    "changed": (lambda relay: signed(relay)[:-8] + "AAAAAAAA", 401, "invalid_api_key"),
    "not signed": (lambda relay: signed(relay, "none"), 401, "invalid_api_key"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_page_reads_why_its_token_is_refused(
    call: Call, relay: RelayProcess, upstream: ScriptedUpstream, name: str
) -> None:
    token_of, status, code = REFUSED[name]
    seen = call("stream", token_of(relay))
    assert (seen["status"], seen["code"]) == (status, code)
    assert seen["headers"]["relay-error-source"] == "relay"
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("limit", "code"), [("--requests", "rate_limit_exceeded"), ("--tokens", "tokens_rate_limit_exceeded")]
)
def test_a_page_reads_that_its_token_is_used_up(
    call: Call, relay: RelayProcess, owed: Owed, limit: str, code: str
) -> None:
    token = minted(relay, limit, "1")
    assert call("completion", token)["text"] == "Hello world"
    seen = call("stream", token)
    assert (seen["status"], seen["code"], seen["headers"]["x-should-retry"]) == (429, code, "false")
    owed.requests = 3


def test_a_page_reads_that_its_key_was_revoked(call: Call, relay: RelayProcess, upstream: ScriptedUpstream) -> None:
    relay.create_key("leaving", rpm=100, concurrent=5)
    token = relay.command_line("tokens", "mint", "leaving").strip()
    relay.command_line("keys", "revoke", "leaving")
    seen = call("stream", token)
    assert (seen["status"], seen["code"]) == (401, "invalid_api_key")
    assert upstream.requests == []
