"""Refusals: OpenAI's shape, the flat shape of the seed route, the true status, and nothing of ours told by accident."""

import json
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from relay.core.dialects import ANTHROPIC, OPENAI
from relay.core.errors import KINDS, RelayError
from relay.core.keys import KeyPolicy
from relay.web import errors
from tests.house import ASK, CHAT, House
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.served import Served, post

FLAT = "/api/chat/stream"


@pytest.fixture
def stranger(house: House) -> FlaskClient:
    """A caller without a key."""
    return house.app.test_client()


@pytest.fixture
def refuses(house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], FlaskClient]:
    """refuses(error): a caller for whom the corridor ends with this."""

    def refuse(error: BaseException) -> FlaskClient:
        def identify(*arguments: object) -> Any:
            raise error

        monkeypatch.setattr(house.relay.authenticator, "identify", identify)
        return house.caller()

    return refuse


def fail_once() -> Callable[[flask.Response], flask.Response]:
    """What runs behind a view and has a defect."""
    errors = [ValueError("canary-text")]

    def fail(response: flask.Response) -> flask.Response:
        if errors:
            raise errors.pop()
        return response

    return fail


def error_of(answer: TestResponse) -> dict[str, Any]:
    """The error object of OpenAI's shape, which must be whole."""
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Relay-Error-Source"] == "relay"
    assert answer.headers["X-Request-Id"]
    body = json.loads(answer.data)
    assert body.keys() == {"error"}
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize("code", KINDS)
def test_every_code_has_its_status_and_its_type(refuses: Any, code: str) -> None:
    answer = refuses(RelayError(code, "Because.", param="model")).post(CHAT, json=ASK)
    error = error_of(answer)
    assert answer.status_code == KINDS[code].status
    assert error == {"message": "Because.", "type": KINDS[code].type, "param": "model", "code": code}


@pytest.mark.parametrize("code", ["store_unavailable", "draining", "overloaded"])
def test_what_is_shed_is_called_so_in_the_log(refuses: Any, house: House, code: str) -> None:
    refuses(RelayError(code, "")).post(CHAT, json=ASK)
    assert [(line["status"], line["end"], line["error"]) for line in house.log_lines()] == [(503, "shed", code)]


def test_a_refusal_tells_when_to_come_again(refuses: Any) -> None:
    answer = refuses(RelayError("rate_limit_exceeded", "", retry_after_seconds=2.2)).post(CHAT, json=ASK)
    assert (answer.headers["Retry-After"], answer.headers["retry-after-ms"]) == ("3", "2200")


def test_a_refusal_that_asking_again_does_not_help_says_so(refuses: Any) -> None:
    answer = refuses(RelayError("upstream_tls", "")).post(CHAT, json=ASK)
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("code", "padding_bytes", "closes"),
    [
        ("body_too_large", 0, True),
        ("request_timeout", 0, True),
        ("overloaded", 0, True),  # whoever was refused takes no place
        ("invalid_api_key", 60_000, False),
        ("invalid_api_key", 70_000, True),
    ],
)
def test_a_refusal_says_whether_its_connection_ends(
    refuses: Any, served: Served, code: str, padding_bytes: int, closes: bool
) -> None:
    refuses(RelayError(code, ""))
    answer = served.answer(post(CHAT, "rk_x", {**ASK, "padding": "x" * padding_bytes})).lower()
    assert (b"\r\nconnection: close\r\n" in answer) is closes


@pytest.mark.parametrize(("code", "closes"), [("overloaded", True), ("invalid_api_key", False)])
def test_one_without_a_body_too(refuses: Any, served: Served, code: str, closes: bool) -> None:
    refuses(RelayError(code, ""))
    answer = served.answer(b"GET /v1/models HTTP/1.1\r\nHost: relay\r\n\r\n").lower()
    assert (b"\r\nconnection: close\r\n" in answer) is closes


def test_what_an_upstream_said_before_we_refused_is_in_the_log(refuses: Any, house: House) -> None:
    error = RelayError("upstream_redirect", "")
    error.upstream_status = 302
    refuses(error).post(CHAT, json=ASK)
    assert [line["upstream_status"] for line in house.log_lines()] == [302]


def test_without_a_key_a_client_is_told_how_to_send_one(stranger: FlaskClient) -> None:
    answer = stranger.post(CHAT, json=ASK)
    assert (answer.status_code, error_of(answer)["code"]) == (401, "missing_credentials")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_unknown_revoked_expired_and_malformed_keys_get_the_same_bytes(house: House) -> None:
    revoked, expired = (house.keys.create(name, KeyPolicy(), at)[1] for name, at in (("a", None), ("b", 1.0)))
    house.keys.revoke("a", 1.0)
    keys = ["rk_unknown", "a b", "k" * 600, "", house.new_key() + "x", revoked, expired]
    sent = ["Basic abc", *(f"Bearer {key}" for key in keys)]
    answers = [house.app.test_client().post(CHAT, json=ASK, headers={"Authorization": value}) for value in sent]
    assert {(answer.status_code, answer.data) for answer in answers} == {(401, answers[0].data)}


@pytest.mark.parametrize("path", ["/v1", "/v2/chat/completions", "/v1/chat/completions/", "//v1/models", "/health/x"])
def test_a_path_that_is_no_route_is_404(caller: FlaskClient, path: str) -> None:
    answer = caller.get(path)
    assert (answer.status_code, error_of(answer)["code"]) == (404, "route_not_found")


@pytest.mark.parametrize(("method", "path", "allowed"), [("GET", CHAT, "POST"), ("DELETE", "/v1/models", "GET, HEAD")])
def test_another_method_is_405_and_told_which_are_allowed(
    caller: FlaskClient, upstream: ScriptedUpstream, method: str, path: str, allowed: str
) -> None:
    answer = caller.open(path, method=method)
    assert (answer.status_code, error_of(answer)["code"]) == (405, "method_not_allowed")
    assert set(allowed.split(", ")) <= set(answer.headers["Allow"].split(", "))
    assert upstream.accepted == 0


def test_the_seed_route_is_refused_in_the_flat_shape(stranger: FlaskClient, house: House) -> None:
    answer = stranger.post(FLAT, json={})
    assert json.loads(answer.data) == {
        "error": "MISSING_AUTH",
        "message": "No API key was sent. Use the header 'Authorization: Bearer <key>'.",
    }
    assert json.loads(house.caller("rk_unknown").post(FLAT, json={}).data)["error"] == "INVALID_KEY"
    assert json.loads(house.caller().post(FLAT, json={}).data)["error"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("language", "german"),
    [("de", True), ("de-DE,de;q=0.9,en;q=0.8", True), ("en,de;q=0.5", False), ("fr", False), ("", False), ("*", False)],
)
def test_the_flat_shape_speaks_german_to_those_who_ask(stranger: FlaskClient, language: str, german: bool) -> None:
    answer = stranger.post(FLAT, json={}, headers={"Accept-Language": language})
    assert ("erforderlich" in json.loads(answer.data)["message"]) == german


def test_a_defect_of_ours_is_a_500_that_tells_nothing(refuses: Any, house: House) -> None:
    answer = refuses(ValueError("canary-text")).post(CHAT, json=ASK)
    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
    assert answer.headers["x-should-retry"] == "false"
    assert b"canary" not in answer.data
    logged = house.logged()
    assert '"where":"request","error":"ValueError"' in logged
    assert "canary" not in logged
    assert [line["status"] for line in house.log_lines()] == [500]


def test_a_defect_behind_the_view_is_a_500_too(caller: FlaskClient, house: House) -> None:
    house.app.after_request_funcs.setdefault(None, []).append(fail_once())
    answer = caller.post(CHAT, json=ASK)
    assert house.slots_held() == 0
    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
    assert [(line["status"], line["error"]) for line in house.log_lines()] == [(500, "internal_error")]


def test_a_defect_behind_the_view_is_told_by_its_kind_and_place_too(
    caller: FlaskClient, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.app.after_request_funcs.setdefault(None, []).append(fail_once())
    answer = caller.post(CHAT, json=ASK)
    assert "canary" not in answer.get_data(as_text=True) + house.logged() + caplog.text
    assert '"error":"ValueError"' in house.logged()


def test_a_refusal_within_an_open_stream_has_the_routes_form() -> None:
    error = RelayError("upstream_timeout", "Too late.")
    assert json.loads(errors.frame(error, OPENAI).removeprefix(b"data: "))["error"]["status"] == 504
    assert errors.frame(error, ANTHROPIC).startswith(b"event: error\n")
