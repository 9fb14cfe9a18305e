"""What is asked, and that nothing is asked in vain."""

from collections.abc import Mapping

import pytest

from relay.core.diagnosis.evidence import Answer, Stream
from relay.diagnosis.examination import Order, examine
from tests.core.diagnosis.healthy import STREAM, UNKEYED, refused

ALIVE = Answer(200, body=b'{"status":"alive"}')
ORDER = Order("/sse", "rk_x", "https://app.example", 7)


class Told:
    """An address that answers as it was told and keeps what it was asked."""

    def __init__(self, live: Answer = ALIVE, *streams: Stream) -> None:
        self.live, self.streams = live, list(streams)
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        self.asked.append((method, path, headers))
        return self.live if path == "/health/live" else UNKEYED

    def listen(self, path: str, headers: Mapping[str, str], seconds_max: float) -> Stream:
        self.asked.append(("LISTEN", path, headers))
        assert seconds_max < 60
        return self.streams.pop(0) if self.streams else STREAM


def nowhere(path: str) -> Told:
    raise AssertionError(path)


def test_everything_is_asked_where_everything_was_ordered() -> None:
    address, told = Told(), list[str]()
    evidence = examine(address, nowhere, ORDER, told.append)
    methods = [method for method, _, _ in address.asked]
    assert methods == ["GET", "GET", "OPTIONS", "LISTEN", "LISTEN", "LISTEN"]
    assert None not in (evidence.unkeyed, evidence.preflight, evidence.plain, evidence.dressed, evidence.silent)
    assert "silence_seconds=7" in address.asked[-1][1]
    assert address.asked[4][2]["Accept-Encoding"] == "gzip"
    assert len(told) == 5


def test_the_key_goes_only_where_it_is_needed() -> None:
    address = Told()
    examine(address, nowhere, ORDER, lambda _: None)
    keyed = [method for method, _, headers in address.asked if "rk_x" in str(headers)]
    assert keyed == ["LISTEN"] * 3


def test_without_key_origin_and_silence_only_the_rest_is_asked() -> None:
    address = Told()
    evidence = examine(address, nowhere, Order("", "", ""), lambda _: None)
    assert [path.partition("?")[0] for _, path, _ in address.asked] == ["/health/live", "/selftest"]
    assert (evidence.preflight, evidence.plain, evidence.silent) == (None, None, None)


def test_a_refused_authorization_is_tried_as_x_api_key() -> None:
    address = Told(ALIVE, refused(401, "missing_credentials"))
    evidence = examine(address, nowhere, ORDER, lambda _: None)
    assert evidence.by_other is STREAM
    assert all("Authorization" not in headers for _, _, headers in address.asked[4:])
    assert "X-API-Key" not in evidence.sent_names


def test_where_no_key_opens_nothing_more_is_asked() -> None:
    evidence = examine(Told(ALIVE, refused(401), refused(401)), nowhere, ORDER, lambda _: None)
    assert (evidence.dressed, evidence.silent) == (None, None)


@pytest.mark.parametrize(("alive_at", "found_at"), [("/a", "/a"), ("", ""), ("/other", None)])
def test_the_relay_is_looked_for_in_the_paths_above(alive_at: str, found_at: str | None) -> None:
    tried: list[str] = []

    def elsewhere(path: str) -> Told:
        tried.append(path)
        return Told(ALIVE if path == alive_at else Answer(404))

    evidence = examine(Told(Answer(404)), elsewhere, Order("/a/b/c", "rk_x", ""), lambda _: None)
    assert evidence.found_at == found_at
    assert tried[0] == "/a/b"
    assert len(tried) <= 3


def test_where_nobody_answers_nobody_is_looked_for() -> None:
    assert examine(Told(Answer()), nowhere, ORDER, lambda _: None).found_at is None
