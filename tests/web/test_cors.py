"""CORS: exact origins, preflight before authentication, and the headers on every answer."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from config.schema import Cors, Server
from relay.web import cors
from tests.house import ASK, CHAT, STREAM, House
from tests.live.bench.scripts import answering, error_answer, json_answer
from tests.live.bench.upstream import ScriptedUpstream

PAGE = "https://app.example"
OTHERS = [
    "null",
    "*",
    "https://APP.example",
    "http://app.example",
    "https://app.example.evil.net",
    "https://evil-app.example",
    "https://app.example:8443",
    "https://app.example/",
    "https://appxexample",
    "https://app.example\x85",
    "none.invalid",
]


@pytest.fixture
def house(build: Callable[..., House]) -> House:
    return build(cors=Cors(origins=(PAGE, "http://[::1]:8000"), max_age_seconds=600), server=Server(path_prefix="/sse"))


@pytest.fixture
def stranger(house: House) -> FlaskClient:
    return house.app.test_client()


def names(value: str | None) -> set[str]:
    return {name.strip().lower() for name in (value or "").split(",")}


@pytest.mark.parametrize("path", [CHAT, "/sse" + CHAT, "/health", "/nowhere"])
@pytest.mark.parametrize("origin", [PAGE, "http://[::1]:8000"])
def test_a_page_of_a_listed_origin_may_read_every_answer(stranger: FlaskClient, path: str, origin: str) -> None:
    answer = stranger.post(path, json=ASK, headers={"Origin": origin})
    assert answer.status_code >= 400
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [origin]
    assert "origin" in names(answer.headers["Vary"])
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", OTHERS)
def test_a_page_of_any_other_origin_may_not(stranger: FlaskClient, origin: str) -> None:
    for method in ("OPTIONS", "POST"):
        answer = stranger.open(CHAT, method=method, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "origin" in names(answer.headers["Vary"])


def test_who_is_no_page_gets_no_cors_headers_but_vary(caller: FlaskClient) -> None:
    answer = caller.post(CHAT, json=ASK)
    assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]
    assert "origin" in names(answer.headers["Vary"])


def test_a_preflight_is_answered_before_any_key_is_asked_for(stranger: FlaskClient, upstream: ScriptedUpstream) -> None:
    asked = "authorization, x-api-key, content-type, idempotency-key, OpenAI-Beta, x-stainless-os, anthropic-version"
    answer = stranger.options(
        CHAT,
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": asked,
        },
    )
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert names(answer.headers["Access-Control-Allow-Methods"]) == {"get", "post", "delete", "options"}
    assert names(answer.headers["Access-Control-Allow-Headers"]) == names(asked)
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert upstream.accepted == 0


@pytest.mark.parametrize("name", ["x-evil", "openaievil", "openai-", "authorization-x", "x-authorization", "cookie"])
def test_a_header_that_is_not_listed_is_not_allowed(stranger: FlaskClient, name: str) -> None:
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": name}
    answer = stranger.options(CHAT, headers=headers)
    assert name not in names(answer.headers.get("Access-Control-Allow-Headers"))


def test_what_a_client_needs_to_know_is_exposed(caller: FlaskClient) -> None:
    answer = caller.post(CHAT, json=ASK, headers={"Origin": PAGE})
    exposed = names(answer.headers["Access-Control-Expose-Headers"])
    assert exposed == names(", ".join(cors.EXPOSED_HEADERS))
    assert {"x-request-id", "retry-after", "x-ratelimit-remaining-requests", "ratelimit"} <= exposed


def test_an_upstreams_cors_headers_do_not_pass(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(json_answer({}, "Access-Control-Allow-Origin: *", "Vary: X-Evil")))
    answer = caller.post(CHAT, json=ASK, headers={"Origin": PAGE})
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [PAGE]
    assert "x-evil" not in names(answer.headers["Vary"])


def test_streams_and_upstream_errors_carry_them_too(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    stream = caller.post(CHAT, json=STREAM, headers={"Origin": PAGE})
    assert stream.data
    upstream.answer(answering(error_answer("500 Oops", "x")))
    for answer in (stream, caller.post(CHAT, json=ASK, headers={"Origin": PAGE})):
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE


def test_other_origins_are_allowed_from_the_moment_they_are_set(stranger: FlaskClient, house: House) -> None:
    cors.allow(house.app, ("https://new.example",), 5)
    for origin, allowed in (("https://new.example", "https://new.example"), (PAGE, None)):
        answer = stranger.get("/health/live", headers={"Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed


def test_without_origins_no_page_may_call(build: Callable[..., House]) -> None:
    stranger = build(cors=Cors(origins=())).app.test_client()
    for origin in (PAGE, "null"):
        answer = stranger.get("/health/live", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers
