"""Claims that several processes make: one stream each, and no claim is taken from whom it belongs to."""

from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from relay.core.errors import RelayError
from relay.core.kept import Kept
from relay.stores.stream_record import claim_key, head_key
from tests.stores.redis_server import RedisServer
from tests.stores.stream_processes import (
    Process,
    expected,
    new_subject,
    settle,
    whole,
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
