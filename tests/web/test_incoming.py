"""Reading a request: nothing of its body before its caller is known, and then no more than is allowed."""

import json
from io import BytesIO
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient

from config.schema import Server, Upstream
from tests.house import ASK, CHAT, STREAM, House
from tests.live.bench.conversation import Request
from tests.live.bench.upstream import ScriptedUpstream

PARTS = "/v1/audio/transcriptions"
MULTIPART = "multipart/form-data; boundary=b"
BODY = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'


class Input:
    """A request's body that notes how much of it was read, and can be cut or endless."""

    def __init__(self, data: bytes) -> None:
        self._data = BytesIO(data)
        self.read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._data.read(size)
        self.read_bytes += len(data)
        return data

    def readline(self, size: int = -1) -> bytes:
        raise AssertionError("read by lines")


class Slow(Input):
    """Says nothing for a while, and then no more."""

    def read(self, size: int = -1) -> bytes:
        gevent.sleep(0.3)
        return b""


def post(
    caller: FlaskClient, path: str, body: Input, length: int | None, kind: str = "application/json"
) -> tuple[int, Any]:
    """Status and code; without a length the body ends where the input does, as chunked ones do in gunicorn."""
    environ: dict[str, Any] = {"wsgi.input": body, "CONTENT_TYPE": kind}
    environ["CONTENT_LENGTH"] = None if length is None else str(length)
    if length is None:
        environ |= {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = caller.post(path, environ_overrides=environ)
    return answer.status_code, json.loads(answer.data).get("error", {}).get("code")


def sent(upstream: ScriptedUpstream) -> Request:
    (request,) = upstream.requests
    return request


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "token", "API_KEY"])
def test_a_key_in_the_query_is_refused_and_never_told(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream, name: str
) -> None:
    answer = caller.post(f"{CHAT}?x=1&{name}=canary-query", json=ASK)
    assert (answer.status_code, json.loads(answer.data)["error"]["code"]) == (400, "key_in_query")
    assert "canary" not in house.logged() + answer.get_data(as_text=True)
    assert upstream.accepted == 0


def test_another_query_is_ignored_and_does_not_go_on(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    assert caller.post(f"{CHAT}?debug=canary", json=ASK).status_code == 200
    assert sent(upstream).path == "/v1/chat/completions"
    assert "canary" not in house.logged()


def test_the_body_of_a_stranger_is_not_read(house: House) -> None:
    body = Input(b"x" * 1000)
    assert post(house.caller("rk_unknown"), CHAT, body, 1000) == (401, "invalid_api_key")
    assert body.read_bytes == 0


def test_the_body_goes_on_byte_for_byte(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    body = b'{ "model":"gpt-test", "n":1.0,\n "messages":[ ] }'
    assert caller.post(CHAT, data=body, content_type="application/json").status_code == 200
    assert sent(upstream).body == body


def test_a_body_in_chunks_goes_on_with_its_length(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    body = json.dumps(ASK).encode()
    assert post(caller, CHAT, Input(body), None) == (200, None)
    assert (sent(upstream).body, sent(upstream).header("content-length")) == (body, str(len(body)))


def test_a_stream_is_asked_for_its_usage_and_the_rest_stays(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    caller.post(CHAT, json=STREAM).close()
    assert json.loads(sent(upstream).body) == {**STREAM, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("length", [None, 101], ids=["in chunks", "with its length"])
def test_a_body_that_is_too_large_is_413(build: Any, upstream: ScriptedUpstream, length: int | None) -> None:
    caller = build(server=Server(body_bytes_max=100)).caller()
    assert post(caller, CHAT, Input(b" " * 101), length) == (413, "body_too_large")
    assert upstream.accepted == 0


def test_a_body_as_large_as_is_allowed_passes(build: Any, upstream: ScriptedUpstream) -> None:
    body = json.dumps(ASK).encode()
    caller = build(server=Server(body_bytes_max=len(body))).caller()
    assert caller.post(CHAT, data=body, content_type="application/json").status_code == 200


def test_a_body_that_breaks_off_is_refused(caller: FlaskClient, house: House, upstream: ScriptedUpstream) -> None:
    assert post(caller, CHAT, Input(b'{"model":'), 500) == (400, "invalid_request")
    assert upstream.accepted == 0


def test_a_body_that_does_not_come_in_time_is_408(build: Any) -> None:
    caller = build(server=Server(body_seconds_max=0.02)).caller()
    assert post(caller, CHAT, Slow(b""), 500) == (408, "request_timeout")


def test_parts_that_do_not_come_in_time_are_408_too(build: Any) -> None:
    house = build(server=Server(body_seconds_max=0.02))
    assert post(house.caller(), PARTS, Slow(b""), 500, MULTIPART) == (408, "request_timeout")
    assert house.slots_held() == 0


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", MULTIPART])
def test_another_kind_of_body_is_415(caller: FlaskClient, upstream: ScriptedUpstream, kind: str) -> None:
    assert post(caller, CHAT, Input(BODY), len(BODY), kind) == (415, "unsupported_media_type")
    assert upstream.accepted == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff{}", b'{"model":1}', b'{"model":"a","model":"b"}'])
def test_a_body_that_is_no_valid_object_is_refused(
    caller: FlaskClient, upstream: ScriptedUpstream, body: bytes
) -> None:
    assert post(caller, CHAT, Input(body), len(body)) == (400, "invalid_request")
    assert upstream.accepted == 0


def test_parts_stream_through_unread(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    for length in (len(BODY), None):
        assert post(caller, PARTS, Input(BODY), length, MULTIPART)[0] == 200
    with_length, in_chunks = upstream.requests
    assert with_length.body == in_chunks.body == BODY
    assert with_length.header("content-type") == in_chunks.header("content-type") == MULTIPART
    assert (with_length.header("content-length"), in_chunks.header("transfer-encoding")) == (str(len(BODY)), "chunked")
    assert with_length.path == "/v1/audio/transcriptions"


def test_a_key_that_is_bound_to_models_cannot_send_parts(house: House, upstream: ScriptedUpstream) -> None:
    bound = house.caller(house.new_key(models=("whisper",)))
    assert post(bound, PARTS, Input(BODY), len(BODY), MULTIPART) == (403, "model_not_allowed")
    assert upstream.accepted == 0


@pytest.mark.parametrize("length", [101, None], ids=["with their length", "in chunks"])
def test_parts_that_are_too_large_are_413(build: Any, length: int | None) -> None:
    house = build(server=Server(body_bytes_max=10, multipart_bytes_max=100))
    assert post(house.caller(), PARTS, Input(b"x" * 101), length, MULTIPART) == (413, "body_too_large")
    assert house.slots_held() == 0


def test_parts_have_a_limit_of_their_own(build: Any, upstream: ScriptedUpstream) -> None:
    caller = build(server=Server(body_bytes_max=10)).caller()
    assert post(caller, PARTS, Input(BODY), len(BODY), MULTIPART)[0] == 200


def test_only_harmless_headers_go_on(build: Any, upstream: ScriptedUpstream) -> None:
    there = Upstream(base_url=upstream.base_url, api_key="sk-1", forward_headers=("openai-beta", "x-custom"))
    caller = build(upstreams=(there,)).caller()
    forwarded = {"Accept": "text/event-stream", "traceparent": "00-a-b-01", "OpenAI-Beta": "x=1"}
    kept = {"Cookie": "canary", "X-Forwarded-For": "canary", "Accept-Encoding": "br", "Connection": "x-custom"}
    caller.post(CHAT, json=ASK, headers={**forwarded, **kept, "X-Custom": "canary", "X-Request-Id": "req-12345"})
    request = sent(upstream)
    for name, value in forwarded.items():
        assert request.header(name) == value
    assert (request.header("x-request-id"), request.header("user-agent")) == ("req-12345", "relay")
    assert (request.header("authorization"), request.header("accept-encoding")) == ("Bearer sk-1", "identity")
    assert b"canary" not in request.raw.replace(request.body, b"")
