"""Streams in Redis, seen from several processes: one makes them, the others find, follow, cancel and forget them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from relay.core.errors import RelayError
from relay.core.kept import Kept
from relay.stores.stream_record import claim_key, head_key
from relay.stores.streams import MemoryStreams
from relay.stores.streams_redis import ASK_SECONDS_MAX, open_streams
from tests.stores.conftest import Reports
from tests.stores.redis_server import RedisServer
from tests.stores.stream_processes import (
    DONE,
    JSON,
    KEEPING,
    STREAM,
    Process,
    Reader,
    count,
    expected,
    new_subject,
    settle,
    whole,
    write,
)

Start = Callable[[], Process]


@pytest.fixture
def start(redis: RedisServer) -> Iterator[Start]:
    """One more process on an empty Redis."""
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(redis.url))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def one(start: Start) -> Process:
    return start()


@pytest.fixture
def other(start: Start) -> Process:
    return start()


def test_the_url_decides_which_twin_it_is(redis: RedisServer) -> None:
    assert isinstance(open_streams("", KEEPING, lambda where, error: None), MemoryStreams)
    shared = open_streams(redis.url, KEEPING, lambda where, error: None)
    assert not isinstance(shared, MemoryStreams)
    shared.close()


def test_another_process_finds_a_stream_with_its_history_and_hears_what_follows(one: Process, other: Process) -> None:
    kept = one.live(frames=5)
    found = other.found(kept)
    assert (found.subject, found.head, found.is_ours, found.status) == (kept.subject, STREAM, False, "live")
    assert whole(found) == expected(kept, 0, 5)
    count(kept, 5)
    settle(one, other)
    assert whole(found, 3) == expected(kept, 3, 10)
    kept.end(DONE)
    settle(one, other)
    assert (found.outcome, other.streams.expires_at(found)) == (
        DONE,
        pytest.approx(one.streams.expires_at(kept), abs=2),
    )


def test_a_process_finds_its_own_stream_without_a_mirror(one: Process) -> None:
    kept = one.live()
    assert one.streams.find(kept.subject.id) is kept
    assert one.streams.followed_elsewhere([kept]) == set()


def test_a_stream_that_its_process_dropped_is_read_from_redis(one: Process) -> None:
    kept = one.live(frames=5)
    kept.end(DONE)
    settle(one)
    one.streams._mine.remove(kept)
    found = one.found(kept)
    assert (found is kept, found.outcome, whole(found)) == (False, DONE, expected(kept, 0, 5))


def test_a_body_that_is_no_event_stream_arrives_in_its_own_pieces(one: Process, other: Process) -> None:
    kept, _ = one.streams.claim(new_subject(), None)
    kept.open(JSON)
    for seq, piece in enumerate((b'{"a":', b"\n\n", b"1}"), 1):
        kept.append(piece, seq)
    settle(one)
    found = other.found(kept)
    assert list(found.log.pieces()) == [(b'{"a":', 1), (b"\n\n", 2), (b"1}", 3)]


def test_a_claim_that_another_process_made_names_its_stream(one: Process, other: Process) -> None:
    kept = one.live("c", new_subject(fingerprint="f"), frames=3)
    found, is_new = other.streams.claim(new_subject(fingerprint="f"), "c")
    assert (found.subject.id, is_new, whole(found)) == (kept.subject.id, False, expected(kept, 0, 3))
    assert other.streams.claimed("c") is found
    with pytest.raises(RelayError) as refused:
        other.streams.claim(new_subject(fingerprint="another"), "c")
    assert refused.value.code == "idempotency_mismatch"
    assert len(one.streams.all()) == 1


def test_a_claim_whose_stream_is_not_known_any_more_is_free(one: Process, other: Process, redis: RedisServer) -> None:
    redis.client.delete(head_key(one.live("c").subject.id))
    assert other.streams.claim(new_subject(), "c")[1]


@pytest.mark.parametrize("how", ["remove", "unclaim"])
def test_a_claim_that_another_stream_has_by_now_is_left_alone(
    one: Process, other: Process, redis: RedisServer, how: str
) -> None:
    kept = one.live("c")
    redis.client.delete(claim_key("c"))
    taken = other.live("c")
    getattr(one.streams, how)(kept)
    settle(one)
    assert other.streams.claimed("c") is taken


def test_what_is_forgotten_while_redis_is_away_is_removed_when_it_is_back(redis: RedisServer, reports: Reports) -> None:
    one = Process(redis.url, report=reports)
    kept = one.live("c")
    redis.client.client_kill_filter(_type="normal", skipme=True)
    one.streams.remove(kept)
    one.streams.writer.flush()
    one.streams.tend()
    write(one)
    assert redis.client.keys("relay:stream*") == redis.client.keys("relay:claim*") == []
    one.close()


def test_of_many_claims_at_once_one_is_new(start: Start) -> None:
    processes = [start() for _ in range(8)]
    answers: list[tuple[Kept, bool]] = []
    threads = [Thread(target=lambda p=p: answers.append(p.streams.claim(new_subject(), "c"))) for p in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(is_new for _, is_new in answers) == [False] * 7 + [True]
    assert len({kept.subject.id for kept, _ in answers}) == 1


def test_who_waits_elsewhere_for_a_stream_that_is_refused_is_refused_likewise(one: Process, other: Process) -> None:
    kept, _ = one.streams.claim(new_subject(), "c")
    settle(one)
    found, _ = other.streams.claim(new_subject(), "c")
    told: list[str] = []
    found.on_head.append(lambda: told.append("head"))
    settle(one, other)
    refusal = RelayError("too_many_streams", "Too many.", param="n", retry_after_seconds=2.5, headers=(("x-a", "b"),))
    refusal.upstream_status = 429
    kept.refuse(refusal)
    one.streams.remove(kept)
    settle(one, other)
    assert told == ["head"]
    assert found.refusal is not None
    assert found.refusal.__dict__ == refusal.__dict__
    assert found.refusal.headers() == refusal.headers()
    assert other.streams.claim(new_subject(), "c")[1]


def test_a_cancel_reaches_the_process_that_makes_the_stream_and_no_other(start: Start) -> None:
    one, other, third = start(), start(), start()
    kept = one.live()
    other.streams.ask_to_cancel(other.found(kept))
    settle(one, other, third)
    assert (one.cancelled, other.cancelled, third.cancelled) == ([kept.subject.id], [], [])


def test_a_cancel_that_nobody_hears_is_no_success(one: Process, other: Process) -> None:
    found = other.found(one.live())
    one.streams.listener.close()
    with pytest.raises(RelayError) as refused:
        while True:  # until Redis has noticed
            other.streams.ask_to_cancel(found)
    assert refused.value.code == "store_unavailable"


def test_what_one_process_forgets_is_cancelled_and_unknown_to_all(start: Start) -> None:
    one, other, third = start(), start(), start()
    kept = one.live("c", frames=3)
    follower = third.found(kept)
    follower.join(Reader())
    settle(one, other, third)
    other.streams.remove(other.found(kept))
    assert other.streams.find(kept.subject.id) is None
    settle(one, other, third)
    assert one.cancelled == [kept.subject.id]
    assert [process.streams.find(kept.subject.id) for process in (one, other, third)] == [None] * 3
    assert (follower.status, b"cancelled" in whole(follower)) == ("cancelled", True)
    count(kept, 3)
    kept.end(DONE)
    settle(one, other, third)
    assert third.streams.find(kept.subject.id) is None
    assert other.streams.claim(new_subject(), "c")[1]


def test_a_process_knows_which_of_its_streams_are_followed_elsewhere(one: Process, other: Process) -> None:
    kept, alone = one.live(), one.live()
    other.found(kept)
    settle(other)
    assert one.streams.followed_elsewhere([alone, kept]) == {kept.subject.id}


def test_without_redis_a_claim_is_refused_and_nothing_of_it_stays(own_redis: RedisServer, reports: Reports) -> None:
    process = Process(own_redis.url, report=reports)
    own_redis.kill()
    for _ in range(2):
        with pytest.raises(RelayError) as refused:
            process.streams.claim(new_subject(), "c")
        assert refused.value.code == "store_unavailable"
    assert process.streams._mine.all() == []
    for ask in (process.streams.find, process.streams.claimed, process.streams.of_owner):
        with pytest.raises(RelayError) as refused:
            ask("x")
        assert refused.value.code == "store_unavailable"
    process.close()


def test_without_redis_a_stream_without_a_claim_is_made_and_read_here(own_redis: RedisServer, reports: Reports) -> None:
    process = Process(own_redis.url, report=reports)
    own_redis.kill()
    process.streams.writer.flush()
    kept, _ = process.streams.claim(new_subject(), None)
    kept.open(STREAM)
    count(kept, 3)
    process.streams.writer.flush()
    assert process.streams.find(kept.subject.id) is kept
    assert process.streams.followed_elsewhere([kept]) == set()
    kept.end(DONE)
    process.close()


def test_a_claim_whose_answer_got_lost_is_given_up(own_redis: RedisServer, reports: Reports) -> None:
    one, other = Process(own_redis.url, report=reports), Process(own_redis.url, report=reports)
    own_redis.pause()
    with pytest.raises(RelayError):
        one.streams.claim(new_subject(), "c")
    own_redis.resume()
    one.streams.tend()
    settle(one)
    assert ASK_SECONDS_MAX >= 1
    assert other.streams.claim(new_subject(), "c")[1]
    for process in (one, other):
        process.close()


def test_a_redis_that_is_absent_at_the_start_is_found_later(tmp_path: Path, own_redis: RedisServer) -> None:
    own_redis.kill()
    process = Process.__new__(Process)
    told: list[str] = []
    streams = open_streams(own_redis.url, KEEPING, lambda where, error: told.append(where))
    process.streams = streams  # type: ignore[assignment]
    kept, _ = streams.claim(new_subject(), None)
    kept.open(STREAM)
    count(kept, 2)
    own_redis.start()
    streams.tend()
    settle(process)
    other = Process(own_redis.url)
    assert whole(other.found(kept)) == expected(kept, 0, 2)
    assert told == ["redis"] * 2
    for each in (process, other):
        each.close()
