"""Whose a stream is: its owner's, a ticket's holder's for what a ticket opens, and for anybody else there is none."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from relay.core.tickets import mint_ticket
from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.cases import CHAT, STREAM, Owed, get, nothing_left, refusal
from tests.live.resuming import KEEP, Kept, begin, calls, listing, post, state, telling, texts

SAID = texts(3)
ABSENT = "rs_0123456789012345678901"
MALFORMED = ("x", "rs_", ABSENT[:-1], ABSENT + "0", "task_1", "%00", "..", "rs_012345678901234567890%C3%A4")


@pytest.fixture(scope="module", autouse=True)
def owed(relay: RelayProcess, module_upstream: ScriptedUpstream) -> Iterator[Owed]:
    """By all tests together: no stream lives through any of them."""
    with nothing_left(relay, module_upstream) as owed:
        owed.requests = None
        yield owed


@pytest.fixture(autouse=True)
def says(upstream: ScriptedUpstream) -> None:
    upstream.answer(telling(SAID))


@pytest.fixture
def kept(caller: RawCaller) -> Kept:
    """A stream that is over."""
    kept = begin(caller)
    assert caller.read_all() == kept.frames(SAID)
    return kept


@pytest.fixture(scope="module")
def other_key(relay: RelayProcess) -> str:
    return relay.create_key("other", rpm=1_000_000, concurrent=100)


def answer(caller: RawCaller, method: str, path: str, key: str | None = None) -> tuple[int, object, object]:
    """Status, body and headers, but for what differs in each answer."""
    caller.request(method, path, b"", [("Content-Length", "0")] if method == "POST" else [], key)
    head = caller.read_answer_head()
    varying = ("x-request-id", "date", "server-timing", "x-ratelimit-reset-requests", "ratelimit")
    return head.status, caller.read_all(), [pair for pair in head.headers if pair[0].lower() not in varying]


ROUTES = {
    "state": ("GET", ""),
    "events": ("GET", "/events"),
    "cancel": ("POST", "/cancel"),
    "forget": ("DELETE", ""),
}


def test_somebody_elses_stream_is_answered_byte_for_byte_like_one_that_never_was(
    caller: RawCaller, kept: Kept, other_key: str, subtests: pytest.Subtests
) -> None:
    for route, (method, rest) in ROUTES.items():
        with subtests.test(route):
            assert_unknown(caller, kept, other_key, method, rest)
    assert state(caller, kept)["status"] == "done"


def assert_unknown(caller: RawCaller, kept: Kept, other_key: str, method: str, rest: str) -> None:
    unknown = answer(caller, method, f"/v1/streams/{ABSENT}{rest}", other_key)
    assert unknown[0] == 404
    assert isinstance(unknown[1], bytes)
    assert json.loads(unknown[1])["error"]["code"] == "stream_not_found"
    assert answer(caller, method, f"{kept.path}{rest}", other_key) == unknown
    for name in ("x", "rs_", ABSENT[:-1], ABSENT + "0"):
        assert answer(caller, method, f"/v1/streams/{name}{rest}", other_key) == unknown, name


def test_somebody_elses_stream_is_not_resumed_by_post(caller: RawCaller, kept: Kept, other_key: str) -> None:
    for event in (kept.event(1), f"{ABSENT}:1"):
        caller.post(CHAT, STREAM, [("Last-Event-ID", event)], other_key)
        assert refusal(caller, caller.read_answer_head()) == (404, "stream_not_found")


def test_another_request_is_not_resumed_with_this_ones_event(caller: RawCaller, kept: Kept) -> None:
    caller.post(CHAT, {**STREAM, "temperature": 0}, [("Last-Event-ID", kept.event(1))])
    assert refusal(caller, caller.read_answer_head()) == (422, "idempotency_mismatch")


def test_a_name_that_is_none_is_no_failure(caller: RawCaller) -> None:
    for name in MALFORMED:
        for method, rest in ROUTES.values():
            status = answer(caller, method, f"/v1/streams/{name}{rest}")[0]
            assert status in (400, 404, 405), (name, method, rest)


def test_without_a_key_or_ticket_nothing_is_told(caller: RawCaller, kept: Kept) -> None:
    for method, rest in ROUTES.values():
        status, body, _ = answer(caller, method, f"{kept.path}{rest}", "")
        assert (status, body) == answer(caller, method, f"/v1/streams/{ABSENT}{rest}", "")[:2]
        assert status == 401


# Tickets.


def with_ticket(caller: RawCaller, method: str, path: str, ticket: str) -> int:
    caller.request(method, f"{path}?{ticket}", b"", [("Content-Length", "0")] if method == "POST" else [], "")
    status = caller.read_answer_head().status
    caller.read_all()
    return status


def test_a_ticket_opens_its_streams_events_state_and_cancel(caller: RawCaller, kept: Kept) -> None:
    for method, rest in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        assert with_ticket(caller, method, kept.path + rest, kept.ticket) == 200, rest


def test_a_ticket_opens_nothing_else(caller: RawCaller, kept: Kept, upstream: ScriptedUpstream) -> None:
    caller.request("POST", CHAT, json.dumps(STREAM).encode(), [KEEP, ("Content-Type", "application/json")])
    other = caller.read_answer_head().header("relay-stream-id")
    caller.read_all()
    refused = {
        "forget": with_ticket(caller, "DELETE", kept.path, kept.ticket),
        "list": with_ticket(caller, "GET", "/v1/streams", kept.ticket),
        "models": with_ticket(caller, "GET", "/v1/models", kept.ticket),
        "usage": with_ticket(caller, "GET", "/v1/usage", kept.ticket),
        "chat": with_ticket(caller, "POST", CHAT, kept.ticket),
        "other stream's events": with_ticket(caller, "GET", f"/v1/streams/{other}/events", kept.ticket),
        "other stream's state": with_ticket(caller, "GET", f"/v1/streams/{other}", kept.ticket),
        "other stream's cancel": with_ticket(caller, "POST", f"/v1/streams/{other}/cancel", kept.ticket),
    }
    assert refused == {name: 404 if name.startswith("other") else 401 for name in refused}
    assert calls(upstream) == 2


def test_a_ticket_that_was_changed_is_answered_like_one_for_no_stream(caller: RawCaller, kept: Kept) -> None:
    unknown = answer(caller, "GET", f"/v1/streams/{ABSENT}/events?{kept.ticket}", "")
    assert unknown[0] == 404
    ticket = kept.ticket
    for changed in (
        ticket[:-1],
        ticket + "A",
        ticket[:-1] + ("A" if ticket[-1] != "A" else "B"),
        "ticket=",
        "ticket=x",
    ):
        assert answer(caller, "GET", f"{kept.path}/events?{changed}", "") == unknown, changed


def test_beside_a_key_a_ticket_counts_for_nothing(caller: RawCaller, kept: Kept, other_key: str) -> None:
    assert answer(caller, "GET", f"{kept.path}?{kept.ticket}", other_key)[0] == 404
    assert answer(caller, "GET", f"{kept.path}?{kept.ticket}", "rk_no_such_key")[0] == 401
    assert answer(caller, "GET", f"{kept.path}?ticket=forged")[0] == 200


def test_an_expired_ticket_says_that_it_was_one(relay: RelayProcess, caller: RawCaller, kept: Kept) -> None:
    secret = relay.database_path.with_name(relay.database_path.name + ".secret").read_bytes().strip()
    genuine = f"ticket={mint_ticket(secret, kept.id, time.time() + 60)}"
    assert with_ticket(caller, "GET", kept.path, genuine) == 200
    expired = f"{kept.path}?ticket={mint_ticket(secret, kept.id, time.time() - 1)}"
    for path in (expired, expired.replace("?", "/events?")):
        caller.get(path, [], "")
        assert refusal(caller, caller.read_answer_head()) == (410, "stream_expired")


def test_a_ticket_is_as_old_as_the_settings_say(
    upstream: ScriptedUpstream, start_relay: Callable[..., RelayProcess]
) -> None:
    relay = start_relay(upstream.base_url, RELAY_RESUME__TICKET_SECONDS="2")
    with RawCaller(relay.port, key=relay.create_key("brief")) as caller:
        kept = begin(caller)
        caller.read_all()
        assert with_ticket(caller, "GET", kept.path, kept.ticket) == 200
        until(lambda: with_ticket(caller, "GET", kept.path, kept.ticket) == 410, 5, "the ticket's end")


def test_no_ticket_stands_in_the_log(relay: RelayProcess, caller: RawCaller, kept: Kept) -> None:
    assert with_ticket(caller, "GET", kept.path, kept.ticket) == 200
    assert kept.ticket.partition("=")[2] not in relay.stdout() + relay.stderr()


# What an owner sees.


def test_the_list_shows_the_owners_streams_alone(
    relay: RelayProcess, caller: RawCaller, kept: Kept, other_key: str
) -> None:
    listed = {stream["id"]: stream for stream in listing(caller)}
    facts = listed[kept.id]
    assert set(facts) == {"id", "model", "status", "age_seconds", "frames", "expires_at"}
    assert (facts["model"], facts["status"], facts["frames"]) == ("gpt-test", "done", len(SAID))
    assert kept.id not in {stream["id"] for stream in listing(caller, other_key)}


def test_its_state_tells_what_became_of_it(caller: RawCaller, kept: Kept) -> None:
    told = state(caller, kept)
    assert (told["id"], told["status"], told["last_seq"], told["error"]) == (kept.id, "done", len(SAID), None)
    assert told["text"] == "00000 00001 00002 "
    assert isinstance(told["expires_at"], float)
    assert 500 < told["expires_at"] - time.time() < 601


def test_another_streams_event_is_no_place(caller: RawCaller, kept: Kept) -> None:
    head = get(caller, f"{kept.path}/events", ("Last-Event-ID", f"{ABSENT}:1"))
    assert refusal(caller, head) == (400, "invalid_request")


def test_a_forgotten_stream_never_was(caller: RawCaller, kept: Kept) -> None:
    assert answer(caller, "DELETE", kept.path)[:2] == (204, b"")
    for method, rest in ROUTES.values():
        assert answer(caller, method, kept.path + rest)[0] == 404
    assert kept.id not in {stream["id"] for stream in listing(caller)}


def test_cancelling_what_is_over_changes_nothing(caller: RawCaller, kept: Kept) -> None:
    for _ in range(2):
        assert post(caller, f"{kept.path}/cancel") == (200, {"id": kept.id, "status": "done"})


def test_head_answers_without_a_body(caller: RawCaller, kept: Kept, upstream: ScriptedUpstream) -> None:
    for path in ("/v1/streams", kept.path, f"{kept.path}/events", kept.url):
        caller.request("HEAD", path)
        assert caller.read_answer_head().status == 200, path
        assert caller.read_all() == b""
    assert calls(upstream) == 1
