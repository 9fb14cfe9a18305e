"""How much is kept, and for how long: a time after the end, a size for each stream, and one for all of them."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench import leaks
from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import DONE, chat_frame, every_request, sse_head
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import chunk
from tests.live.cases import CHAT, STREAM, held, refusal
from tests.live.conftest import SHORT_LIMITS
from tests.live.resuming import KEEP, Kept, begin, by_header, by_number, by_post, listing, state, telling, texts

KEEP_SECONDS, STREAM_BYTES_MAX, PROCESS_BYTES_MAX = 1.5, 100_000, 400_000
LINE = "x" * 1000
LONG = [*(chat_frame(f"{number:05} {LINE}") for number in range(400)), chat_frame("", "stop"), DONE]
SHORT = [*(chat_frame(f"{number:05} {LINE}") for number in range(50)), chat_frame("", "stop"), DONE]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    bounds = {
        "RELAY_RESUME__KEEP_SECONDS": str(KEEP_SECONDS),
        "RELAY_RESUME__STREAM_BYTES_MAX": str(STREAM_BYTES_MAX),
        "RELAY_RESUME__PROCESS_BYTES_MAX": str(PROCESS_BYTES_MAX),
    }
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), {**SHORT_LIMITS, **bounds})
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def forgotten(relay: RelayProcess, upstream: ScriptedUpstream, caller: RawCaller) -> Iterator[None]:
    """Each test begins with an empty memory, and leaves nothing but that behind."""
    for stream in listing(caller):
        caller.request("DELETE", f"/v1/streams/{stream['id']}")
        assert caller.read_answer_head().status == 204
    until(lambda: is_empty(caller), 10, "an empty memory")
    caller.close()
    before = leaks.baseline(relay, upstream)
    yield
    until(lambda: own_descriptors(relay, upstream) <= before.descriptors, 5, "descriptors as before")
    leaks._assert_clean_output(relay)


def own_descriptors(relay: RelayProcess, upstream: ScriptedUpstream) -> int:
    return relay.descriptors() - relay.sockets_to(upstream.port) - relay.sockets_from_callers()


def is_empty(caller: RawCaller) -> bool:
    time.sleep(0.02)  # each look is a request
    return listing(caller) == []


def whole(connect: Callable[[], RawCaller], upstream: ScriptedUpstream, frames: list[bytes]) -> Kept:
    """A stream that was read to its end."""
    upstream.answer(telling(frames))
    with connect() as caller:
        kept = begin(caller)
        assert caller.read_all(20) == kept.frames(frames)
        return kept


def status(connect: Callable[[], RawCaller], kept: Kept) -> int:
    with connect() as caller:
        return by_number(caller, kept, 1).status


def test_it_is_kept_for_a_while_after_its_end(new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream) -> None:
    kept = whole(new_caller, upstream, texts(3))
    ended = time.monotonic()
    with new_caller() as caller:
        told = state(caller, kept)
        assert isinstance(told["expires_at"], float)
        assert 0 < told["expires_at"] - time.time() <= KEEP_SECONDS
        assert by_header(caller, kept, 0).status == 200
        caller.read_all()
        until(lambda: status(new_caller, kept) == 404, 8, "its end")
        assert time.monotonic() - ended >= KEEP_SECONDS - 0.2
        assert listing(caller) == []
        assert refusal(caller, by_post(caller, kept, 1)) == (404, "stream_not_found")


def test_a_name_is_free_again_once_its_answer_is_forgotten(
    new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream
) -> None:
    with new_caller() as caller:
        first = begin(caller, ("Idempotency-Key", "again and again"))
        caller.read_all()
        until(lambda: status(new_caller, first) == 404, 8)
        assert begin(caller, ("Idempotency-Key", "again and again")).id != first.id
        caller.read_all()


def test_a_stream_that_outgrew_its_bound_has_lost_its_beginning_alone(
    new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream
) -> None:
    kept = whole(new_caller, upstream, LONG)
    with new_caller() as caller:
        for come_back, seq in ((by_number, 0), (by_header, 5), (by_post, 5)):
            assert refusal(caller, come_back(caller, kept, seq)) == (410, "events_evicted")
        assert state(caller, kept)["text"] is None
        assert by_number(caller, kept, len(LONG) - 20).status == 200
        rest = caller.read_all()
    assert rest == b"".join(kept.frame(seq, LONG[seq - 1]) for seq in range(len(LONG) - 19, len(LONG) + 1))


def test_the_same_request_for_what_lost_its_beginning_is_told_so_and_pays_nothing(
    new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream
) -> None:
    upstream.answer(telling(LONG))
    with new_caller() as caller:
        begin(caller, ("Idempotency-Key", "long"))
        caller.read_all(20)
        caller.post(CHAT, STREAM, [("Idempotency-Key", "long")])
        assert refusal(caller, caller.read_answer_head()) == (410, "events_evicted")
    assert sum(request.method == "POST" for request in upstream.requests) == 1


def test_where_all_are_full_the_oldest_that_ended_goes_first(
    new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream
) -> None:
    kept = [whole(new_caller, upstream, SHORT) for _ in range(8)]  # of about 60 KB
    statuses = [status(new_caller, one) for one in kept]
    gone = statuses.count(404)
    assert statuses == [404] * gone + [200] * (8 - gone)
    assert 1 <= gone <= 4


def filling(conn: Connection) -> None:
    """As much as is kept, and then nothing."""
    conn.read_request()
    conn.send(sse_head() + b"".join(map(chunk, LONG[:80])))
    held(conn)


def test_where_none_has_ended_a_new_one_is_refused_and_room_comes_back(
    new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream
) -> None:
    upstream.answer(filling)
    callers = [new_caller() for _ in range(8)]
    begun, refused = [], []
    for caller in callers:
        caller.post(CHAT, STREAM, [KEEP])
        head = caller.read_answer_head()
        if head.status == 200:
            begun.append(caller)
            caller.read_until(b"00079")
        else:
            refused.append(refusal(caller, head))
            assert head.header("retry-after") == "1"
    assert set(refused) == {(503, "overloaded")}
    assert len(begun) >= PROCESS_BYTES_MAX // (STREAM_BYTES_MAX + 10_000)
    with new_caller() as plain:
        upstream.answer(telling(texts(2)))
        plain.post(CHAT, STREAM)
        assert plain.read_answer_head().status == 200, "what is not kept needs no room"
        plain.read_all()
    with new_caller() as other:
        for stream in listing(other):
            other.request("DELETE", f"/v1/streams/{stream['id']}")
            assert other.read_answer_head().status == 204
    until(lambda: begins(new_caller), 5, "room for a new one")


def begins(connect: Callable[[], RawCaller]) -> bool:
    with connect() as caller:
        caller.post(CHAT, STREAM, [KEEP])
        status = caller.read_answer_head().status
        caller.read_all()
        return status == 200


def test_an_eventsource_that_comes_while_there_is_no_room_reads_what_is_kept(
    new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream
) -> None:
    kept = whole(new_caller, upstream, texts(2))
    with new_caller() as caller:
        caller.get(kept.url, [], "")
        assert caller.read_answer_head().status == 200
        assert caller.read_all() == kept.frames(texts(2))


def test_json_is_kept_whole_or_told_to_be_gone(new_caller: Callable[[], RawCaller], upstream: ScriptedUpstream) -> None:
    big = json.dumps({"text": "y" * 300_000}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(big), big)
    upstream.answer(every_request(lambda conn, _: conn.send(answer)))
    with new_caller() as caller:
        caller.post(CHAT, {"model": "gpt-test", "messages": []}, [("Idempotency-Key", "big")])
        assert caller.read_answer_head().status == 200
        assert caller.read_all() == big
        caller.post(CHAT, {"model": "gpt-test", "messages": []}, [("Idempotency-Key", "big")])
        head = caller.read_answer_head()
        if head.status == 200:
            assert caller.read_all() == big
        else:
            assert refusal(caller, head) == (410, "events_evicted")
