"""POST /api/chat/stream (CONTRACT 2 and 5): defaults only for what is absent, flat errors in two languages."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import answering, chat_stream, json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import Head
from tests.live.cases import JSON, MESSAGES, Owed, ask, error_code, in_silence, last_frame, nothing_left, saying, stream

SEED = "/api/chat/stream"
ASKED = {"model": "gpt-test", "messages": MESSAGES}
ENGLISH = ("Accept-Language", "en")
GERMAN = ("Accept-Language", "de-DE,de;q=0.9,en;q=0.5")
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
# what was said beside model and messages, what the upstream is told beside them
DEFAULTS: list[tuple[dict[str, object], dict[str, object]]] = [
    ({}, {"temperature": 0.7, "max_tokens": 2000}),
    ({"temperature": 0, "max_tokens": 0}, {"temperature": 0, "max_tokens": 0}),
    ({"temperature": 1.5}, {"temperature": 1.5, "max_tokens": 2000}),
    ({"max_tokens": 7}, {"temperature": 0.7, "max_tokens": 7}),
    ({"temperature": None}, {"temperature": None, "max_tokens": 2000}),
]

# name of the case: request headers, body, what the upstream answers, status, name in the answer
REFUSALS = {
    "no credential": ([], json.dumps(ASKED).encode(), None, 401, "MISSING_AUTH"),
    "unknown key": ([("X-API-Key", "rk_x")], b"{}", None, 401, "INVALID_KEY"),
    "two keys": ([("X-API-Key", "{key}"), ("Authorization", "Bearer x")], b"{}", None, 400, "AMBIGUOUS_CREDENTIALS"),
    "no JSON": ([("X-API-Key", "{key}")], b"{", None, 400, "INVALID_REQUEST"),
    "no messages": ([("X-API-Key", "{key}")], b'{"model":"m"}', None, 400, "INVALID_REQUEST"),
    "no model": ([("X-API-Key", "{key}")], b'{"messages":[]}', None, 400, "INVALID_REQUEST"),
    "refused relay": ([("X-API-Key", "{key}")], json.dumps(ASKED).encode(), "401", 502, "UPSTREAM_AUTH_FAILED"),
    "redirect": ([("X-API-Key", "{key}")], json.dumps(ASKED).encode(), "302", 502, "UPSTREAM_REDIRECT"),
    "garbage": ([("X-API-Key", "{key}")], json.dumps(ASKED).encode(), "garbage", 502, "UPSTREAM_BAD_RESPONSE"),
}
ANSWERS = {"401": json_answer({}, status="401 No"), "302": REDIRECT, "garbage": b"garbage\r\n\r\n"}


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


def test_defaults_stand_only_where_nothing_was_said(upstream: ScriptedUpstream, caller: RawCaller, owed: Owed) -> None:
    owed.requests = len(DEFAULTS)
    for more, expected in DEFAULTS:
        head = ask(caller, {**ASKED, **more}, SEED)
        assert (head.status, head.header("content-type")) == (200, "text/event-stream; charset=utf-8")
        assert caller.read_all() == b"".join(chat_stream("Hello", " world"))
        sent = upstream.requests[-1]
        said = json.loads(sent.body)
        assert said.pop("stream_options", None) in (None, {"include_usage": True})  # what the ledger needs
        assert (sent.path, said) == ("/v1/chat/completions", {**ASKED, **expected, "stream": True})


def test_a_refusal_is_flat_and_in_the_callers_language(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], key: str, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = 2 * len(REFUSALS)
    for name, (headers, body, answer, status, code) in REFUSALS.items():
        sent = [JSON, *((header, value.format(key=key)) for header, value in headers)]
        upstream.answer(answering(ANSWERS[answer])) if answer else None
        said = []
        with subtests.test(name):
            for language in (ENGLISH, GERMAN):
                with new_caller() as caller:
                    caller.request("POST", SEED, body, [language, *sent], key="")
                    said.append(message(caller, caller.read_answer_head(), status, code))
            english, german = said
            assert english.isascii()
            assert german != english, f"{code} is not told in German"


def test_the_limits_refuse_in_the_same_shape(upstream: ScriptedUpstream, relay: RelayProcess, owed: Owed) -> None:
    owed.requests = 5
    slot, rate = relay.create_key("slot", concurrent=1), relay.create_key("rate", rpm=1)
    upstream.answer(in_silence)
    with RawCaller(relay.port, key=slot) as holder, RawCaller(relay.port) as caller:
        assert ask(holder, ASKED, SEED).status == 200
        message(caller, ask(caller, ASKED, SEED, slot), 429, "TOO_MANY_STREAMS")
        caller.post("/v1/chat/completions", {"model": "m"}, key=rate)
        upstream.answer(saying(chat_stream("Hello")))
        upstream.wait_for_requests(2)
    with RawCaller(relay.port, key=rate) as caller:
        head = ask(caller, ASKED, SEED)
        message(caller, head, 429, "RATE_LIMIT_EXCEEDED")
        assert head.header("retry-after")
        caller.get(SEED)
        assert caller.read_head()[0] == 405


def test_an_error_within_the_stream_is_told_as_on_the_chat_route(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    upstream.answer(saying([b"data: 1\n\n"]))
    body, whole = stream(caller, SEED)
    assert (error_code(last_frame(body)), whole) == ("upstream_incomplete", False)


def message(caller: RawCaller, head: Head, status: int, code: str) -> str:
    """The message of a flat error."""
    assert head.status == status
    assert head.header("relay-error-source") == "relay"
    told = json.loads(caller.read_all())
    assert set(told) == {"error", "message"}
    assert told["error"] == code
    return str(told["message"])
