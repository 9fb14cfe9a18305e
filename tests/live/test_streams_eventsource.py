"""What a native EventSource needs: it gives up for good on any status but 200, and comes back for ever after one."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import CLOSE, DONE, chat_completion, chat_frame, error_answer, every_request, sse_head
from tests.live.bench.scripts import json_answer as json_of
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import Head
from tests.live.cases import ASK, CHAT, ONE, STREAM, Owed, error_code, in_silence, last_frame, nothing_left, refusal
from tests.live.resuming import (
    BEAT,
    KEEP,
    Kept,
    begin,
    by_ticket,
    kept_by,
    line_of,
    post,
    telling,
    texts,
    wait_for_calls,
)

SAID = texts(3)
COME_BACK = b"retry: 5000\n\n"


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None
        yield owed


def whole(caller: RawCaller, upstream: ScriptedUpstream) -> Kept:
    upstream.answer(telling(SAID))
    kept = begin(caller)
    caller.read_all()
    return kept


def assert_event_stream(head: Head) -> None:
    assert head.status == 200
    assert head.header("content-type") == "text/event-stream; charset=utf-8"
    assert head.header("cache-control") == "no-cache, no-transform"
    assert head.header("x-accel-buffering") == "no"


def test_it_reads_all_and_is_then_told_that_it_has_it(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    kept = whole(caller, upstream)
    assert_event_stream(by_ticket(caller, kept, 0))
    assert caller.read_all() == kept.frames(SAID)
    assert caller.ended_cleanly
    for seq in (len(SAID), len(SAID) + 1):
        assert by_ticket(caller, kept, seq).status == 204
        assert caller.read_all() == b""


def test_it_reads_through_nginx(
    caller: RawCaller, relay: RelayProcess, upstream: ScriptedUpstream, start_nginx: Callable[[str], Nginx]
) -> None:
    kept = whole(caller, upstream)
    with RawCaller(start_nginx(stock_location(relay.port)).port) as behind:
        assert by_ticket(behind, kept, 1).status == 200
        assert behind.read_all() == b"".join(kept.frame(seq, SAID[seq - 1]) for seq in (2, 3, 4, 5))
        assert behind.ended_cleanly


def breaking(conn: Connection) -> None:
    conn.read_request()
    conn.send(sse_head(CLOSE) + ONE)
    conn.close()


def test_a_broken_stream_ends_properly_behind_its_error(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    """It would else come back for ever; the POST's reader must not take it for whole."""
    upstream.answer(breaking)
    kept = begin(caller)
    body = caller.read_all()
    assert (error_code(last_frame(body)), caller.ended_cleanly) == ("upstream_incomplete", False)
    with RawCaller(caller._port) as source:
        assert by_ticket(source, kept, 0).status == 200
        assert source.read_all() == body
        assert source.ended_cleanly
        assert by_ticket(source, kept, 2).status == 204


def test_a_stream_that_its_upstream_ended_with_an_error_is_read_the_same(
    caller: RawCaller, upstream: ScriptedUpstream
) -> None:
    error = b'data: {"error":{"message":"no","type":"x","param":null,"code":"theirs"}}\n\n'
    upstream.answer(telling([ONE, error]))
    kept = begin(caller)
    body = caller.read_all()
    with RawCaller(caller._port) as source:
        assert by_ticket(source, kept, 0).status == 200
        assert source.read_all() == body == kept.frames([ONE, error])
        assert source.ended_cleanly


def test_a_silent_stream_beats_in_a_line_of_its_own(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(in_silence)
    kept = begin(caller)
    with RawCaller(caller._port) as source, RawCaller(caller._port, key=caller.key) as other:
        assert by_ticket(source, kept, 0).status == 200
        assert source.read_until(BEAT, 5) == kept.frames([ONE]) + BEAT
        assert caller.read_until(BEAT, 5) == kept.frames([ONE]) + BEAT
        post(other, f"{kept.path}/cancel")
        assert b"\n\n: ping" not in source.read_all().replace(b"\n\nid:", b"")


# An answer that is no event stream.


@pytest.mark.parametrize("value", [ASK, STREAM], ids=["asked for JSON", "asked for a stream"])
def test_json_comes_as_one_event_and_once(caller: RawCaller, upstream: ScriptedUpstream, value: object) -> None:
    upstream.answer(every_request(lambda conn, _: conn.send(json_of(chat_completion("Hello")))))
    caller.post(CHAT, value, [("Idempotency-Key", f"json {value == ASK}")])
    kept = kept_by(caller.read_answer_head())
    assert json.loads(caller.read_all()) == chat_completion("Hello")
    assert_event_stream(by_ticket(caller, kept, 0))
    first, last = (caller.read_all() + b" ").split(b"\n\n")[:2]
    assert json.loads(first.removeprefix(b"data: ")) == chat_completion("Hello")
    named, _, done = last.partition(b"\n")
    assert done + b"\n\n" == DONE
    caller.get(kept.url, [("Last-Event-ID", named.removeprefix(b"id: ").decode())], "")
    assert caller.read_answer_head().status == 204


def test_an_upstreams_error_comes_as_one_event_and_once(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    upstream.answer(every_request(lambda conn, _: conn.send(error_answer("429 Too Many Requests", "theirs"))))
    caller.post(CHAT, STREAM, [KEEP])
    head = caller.read_answer_head()
    assert head.status == 429
    caller.read_all()
    kept = Kept(head.header("relay-stream-id") or "", head.header("relay-stream-url") or "")
    assert by_ticket(caller, kept, 0).status == 200
    body = caller.read_all()
    assert (error_code(body), caller.ended_cleanly) == ("theirs", True)
    named = body.partition(b"\n")[0].removeprefix(b"id: ").decode()
    caller.get(kept.url, [("Last-Event-ID", named)], "")
    assert caller.read_answer_head().status == 204


def test_who_leaves_while_json_is_awaited_is_noticed(
    caller: RawCaller, relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed
) -> None:
    def half(conn: Connection) -> None:
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        conn.stall(60)

    upstream.answer(half)
    caller.post(CHAT, ASK, [("Idempotency-Key", "half")])
    kept = kept_by(caller.read_answer_head())
    with RawCaller(relay.port, key=caller.key) as other:
        with RawCaller(relay.port) as source:
            assert by_ticket(source, kept, 0).status == 200
        line_of(owed, route="/v1/streams/<stream_id>/events", end="client_gone")
        post(other, f"{kept.path}/cancel")
    upstream.wait_for_peer_close()


# Waiting, and too little room.


def test_it_may_come_before_the_upstream_answered(
    caller: RawCaller, relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed
) -> None:
    released: list[bool] = []

    def late(conn: Connection, _: object) -> None:
        while not released:
            conn.stall(0.01)
        conn.send(sse_head() + b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in SAID) + b"0\r\n\r\n")

    upstream.answer(every_request(late))
    caller.post(CHAT, STREAM, [KEEP])
    wait_for_calls(upstream)
    with RawCaller(relay.port, key=caller.key) as other, RawCaller(relay.port, key=caller.key) as leaving:
        other.get("/v1/streams")
        other.read_answer_head()
        [opening] = [one for one in json.loads(other.read_all())["data"] if one["status"] == "opening"]
        path = f"/v1/streams/{opening['id']}/events"
        other.get(path)
        leaving.get(path)
        time.sleep(0.2)
        leaving.close()
        line = line_of(owed, route="/v1/streams/<stream_id>/events", status=499)
        assert line["end"] == "client_gone"
        released.append(True)
        assert other.read_answer_head().status == 200
        assert other.read_all() == kept_by(caller.read_answer_head()).frames(SAID)
        caller.read_all()


def test_where_a_reader_has_too_little_room_a_ticket_is_told_when_to_come_back(
    upstream: ScriptedUpstream, start_relay: Callable[..., RelayProcess]
) -> None:
    relay = start_relay(upstream.base_url, RELAY_SERVER__CONNECTIONS_PER_WORKER="70")
    with RawCaller(relay.port, key=relay.create_key("crowded", concurrent=100)) as caller:
        kept = whole(caller, upstream)
        idle = [RawCaller(relay.port) for _ in range(3)]
        upstream.answer(in_silence)
        busy = [RawCaller(relay.port, key=caller.key) for _ in range(6)]
        for one in busy:
            one.post(CHAT, STREAM)
        wait_for_calls(upstream, 6)
        with RawCaller(relay.port) as source:
            assert_event_stream(by_ticket(source, kept, 0))
            assert source.read_all() == COME_BACK
        with RawCaller(relay.port, key=caller.key) as other:
            other.get(f"{kept.path}/events")
            assert refusal(other, other.read_answer_head()) == (503, "overloaded")
        for one in (*busy, *idle):
            one.close()


def test_frames_are_named_with_text_of_any_kind(caller: RawCaller, upstream: ScriptedUpstream) -> None:
    said = [b": hello\n\n", b"id: theirs\nevent: x\n" + chat_frame("ä\u2028"), chat_frame("", "stop"), DONE]
    upstream.answer(telling(said))
    kept = begin(caller)
    body = caller.read_all()
    assert body == (
        kept.frame(1, b": hello\nevent: x\n" + chat_frame("ä\u2028"))
        + kept.frame(2, chat_frame("", "stop"))
        + kept.frame(3, DONE)
    )
