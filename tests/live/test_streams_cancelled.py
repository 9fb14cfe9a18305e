"""A stream that is cancelled or forgotten: its upstream stops at once, its slot is free, and whoever reads is told."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, error_answer, every_request
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import (
    ASK,
    CHAT,
    STREAM,
    Owed,
    assert_within,
    error_code,
    in_silence,
    last_frame,
    nothing_left,
    refusal,
)
from tests.live.detaching import began, in_silence_before_its_head, polite, soon_giving_up
from tests.live.resuming import KEEP, begin, by_header, line_of, listing, post, state, wait_for_calls

NewCaller = Callable[[], RawCaller]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with soon_giving_up(module_upstream, tmp_path_factory.mktemp("relay")) as relay:
        yield relay


@pytest.fixture(scope="module")
def key(relay: RelayProcess) -> str:
    """One slot: every request shows that the one before gave it back."""
    return relay.create_key("one-slot", rpm=1_000_000, concurrent=1)


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        yield owed


def test_a_cancel_stops_the_upstream_at_once_and_may_be_repeated(
    new_caller: NewCaller, upstream: ScriptedUpstream, owed: Owed
) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    asked = time.monotonic()
    for _ in range(3):
        assert post(other, f"{kept.path}/cancel") == (200, {"id": kept.id, "status": "cancelled"})
    assert_within(1.0, asked, upstream.wait_for_peer_close(timeout_seconds=5))
    body = caller.read_all()
    assert (error_code(last_frame(body)), caller.ended_cleanly) == ("cancelled", False)
    assert body.endswith(b"\n\n")
    assert f"id: {kept.event(2)}\n".encode() in body
    told = state(other, kept)
    assert (told["status"], told["error"], told["last_seq"]) == ("cancelled", {"code": "cancelled"}, 2)
    line_of(owed, end="cancelled", status=200, frames_out=1)
    assert len(upstream.peer_closes) == 1


def test_the_slot_of_a_cancelled_stream_is_free_before_its_last_frame(
    new_caller: NewCaller, upstream: ScriptedUpstream
) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    post(other, f"{kept.path}/cancel")
    caller.read_until(b'"code":"cancelled"')
    upstream.forget()
    assert polite(other) == 200


def test_the_slot_of_a_whole_stream_is_free_before_its_terminal_frame(
    new_caller: NewCaller, upstream: ScriptedUpstream
) -> None:
    for _ in range(20):
        caller, other = new_caller(), new_caller()
        begin(caller)
        caller.read_until(DONE)
        assert polite(other) == 200


def test_a_stream_is_cancelled_while_it_opens(new_caller: NewCaller, upstream: ScriptedUpstream, owed: Owed) -> None:
    upstream.answer(in_silence_before_its_head)
    caller, other = new_caller(), new_caller()
    caller.post(CHAT, STREAM, [KEEP])
    wait_for_calls(upstream)
    [listed] = [stream for stream in listing(other) if stream["status"] == "opening"]
    asked = time.monotonic()
    assert post(other, f"/v1/streams/{listed['id']}/cancel")[1]["status"] == "cancelled"
    assert_within(1.0, asked, upstream.wait_for_peer_close(timeout_seconds=5))
    assert caller.read_answer_head().status == 200
    assert error_code(last_frame(caller.read_all())) == "cancelled"
    line_of(owed, end="cancelled", status=499)


def test_json_that_is_cancelled_while_it_opens_is_refused(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence_before_its_head)
    caller, other = new_caller(), new_caller()
    caller.post(CHAT, ASK, [("Idempotency-Key", "no stream")])
    wait_for_calls(upstream)
    [listed] = [stream for stream in listing(other) if stream["status"] == "opening"]
    post(other, f"/v1/streams/{listed['id']}/cancel")
    assert refusal(caller, caller.read_answer_head()) == (499, "client_gone")


def test_who_follows_hears_of_the_cancel_and_of_the_whole_end(
    new_caller: NewCaller, upstream: ScriptedUpstream
) -> None:
    upstream.answer(in_silence)
    caller, follower, other = new_caller(), new_caller(), new_caller()
    kept = began(caller)
    assert by_header(follower, kept, 0).status == 200
    post(other, f"{kept.path}/cancel")
    body = follower.read_all()
    assert (error_code(last_frame(body)), follower.ended_cleanly) == ("cancelled", True)
    assert by_header(follower, kept, 2).status == 204


def test_a_live_stream_that_is_forgotten_ends_and_never_was(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    other.request("DELETE", kept.path)
    assert other.read_answer_head().status == 204
    upstream.wait_for_peer_close(timeout_seconds=2)
    assert error_code(last_frame(caller.read_all())) == "cancelled"
    assert refusal(other, by_header(other, kept, 0)) == (404, "stream_not_found")
    upstream.forget()
    assert polite(other) == 200


def test_a_live_stream_stands_in_its_owners_list(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence)
    caller, other = new_caller(), new_caller()
    kept = began(caller)
    [listed] = [stream for stream in listing(other) if stream["id"] == kept.id]
    assert (listed["status"], listed["frames"], listed["expires_at"]) == ("live", 1, None)
    post(other, f"{kept.path}/cancel")


def test_an_upstreams_error_gives_its_slot_back(new_caller: NewCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(every_request(lambda conn, _: conn.send(error_answer("500 Oops", "its_own"))))
    caller = new_caller()
    for _ in range(5):
        caller.post(CHAT, STREAM, [KEEP])
        assert caller.read_answer_head().status == 500
        caller.read_all()
