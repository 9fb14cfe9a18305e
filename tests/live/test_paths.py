"""B9, B12: a path is one of the table or none, a method the route's or refused; HEAD and OPTIONS start nothing."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import ASK, CHAT, JSON, Owed, ask, get, nothing_left, refusal

NO_ROUTES = [
    "/v1/../v1/models",
    "/v1/%2e%2e/v1/models",
    "/v1%2fmodels/x",
    "/v1\\models",
    "/v1/models%00",
    "/v1/models%0d%0aX-Injected:%201",
    "/v1/models%23",
    "/v1/models%3fx",
    "/v1//models",
    "/v1/models/",
    "/v1/models/..",
    "/v1/models/gpt-test",
    "/v1",
    "/V1/models",
    "/chat/completions",
    "/v1/files",
]
OTHER_METHODS = [(method, CHAT, "POST") for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "HEAD")]
OTHER_METHODS += [("POST", "/v1/models", "GET"), ("POST", "/health/live", "GET")]


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def test_a_path_outside_of_the_table_is_no_route(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = len(NO_ROUTES)
    for path in NO_ROUTES:
        with subtests.test(path):
            assert refusal(caller, get(caller, path)) == (404, "route_not_found")
    assert upstream.received == b""


def test_an_absolute_form_is_the_same_route_whatever_its_authority(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed
) -> None:
    authorities = ["169.254.169.254", "169.254.169.254:80", "user:pass@evil.example", "[::1]:1"]
    owed.requests = len(authorities)
    for authority in authorities:
        assert get(caller, f"http://{authority}/v1/models").status == 200, authority
        caller.read_all()
    own = ("/v1/models", f"127.0.0.1:{upstream.port}")
    assert [(sent.path, sent.header("host")) for sent in upstream.requests] == [own] * len(authorities)


def test_another_method_on_a_known_path_is_405_with_allow(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = len(OTHER_METHODS)
    for method, path, allowed in OTHER_METHODS:
        with subtests.test(f"{method} {path}"):
            caller.request(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else b"", [JSON])
            head = caller.read_answer_head()
            assert head.status == 405
            assert allowed in [one.strip() for one in (head.header("allow") or "").split(",")]
            code = json.loads(caller.read_all() or b'{"error":{"code":""}}')["error"]["code"]
            assert code == ("" if method == "HEAD" else "method_not_allowed")
    assert upstream.received == b""


def test_a_method_that_is_none_is_refused(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], owed: Owed
) -> None:
    owed.requests = None  # what gunicorn refuses is no request
    for line in ("post /v1/models HTTP/1.1", "PRI * HTTP/2.0", "CONNECT evil.example:443 HTTP/1.1"):
        with new_caller() as caller:
            caller.send(f"{line}\r\nHost: x\r\n\r\n".encode())
            assert caller.read_head()[0] in (400, 404, 405, 501, 505), line
    assert upstream.received == b""


def test_head_answers_headers_and_starts_nothing(upstream: ScriptedUpstream, relay: RelayProcess, owed: Owed) -> None:
    owed.requests = 6
    with RawCaller(relay.port, key=relay.create_key("one-slot", rpm=100, concurrent=1)) as caller:
        for _ in range(5):
            caller.request("HEAD", "/v1/models")
            head = caller.read_answer_head()
            assert (head.status, caller.read_all()) == (200, b"")
        assert upstream.received == b""
        assert ask(caller, ASK).status == 200


def test_options_needs_no_key_and_starts_nothing(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    caller.request("OPTIONS", CHAT, key="")
    assert caller.read_head()[0] in (204, 405)
    assert upstream.received == b""
