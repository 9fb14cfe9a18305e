"""relay-client.js and the relay itself: cut, left, found again and stopped, in Node and in Chromium."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest

from tests.live.bench.browser import Tab
from tests.live.bench.cutting_proxy import CuttingProxy
from tests.live.bench.page_server import PageServer
from tests.live.bench.waiting import until
from tests.live.client_scene import Page
from tests.live.demo_relay import DemoRelay, demo_relay, numbers

pytest_plugins = ["tests.live.shared_client"]

FASTER = 50  # the client's pauses; the stream itself takes the time it takes
PREFIX = "/sse"
PATIENT = {"stallSeconds": 100_000}
# The first connection must last until the answer's head is there; a POST without an answer is not repeated.
CUT_BYTES = (3_000, 9_000)


@dataclass
class Visit:
    """A page, and the relay that it asks."""

    page: Page
    bench: DemoRelay

    @property
    def name(self) -> str:
        return type(self.page).__name__

    def client(self, port: int | None = None, key: str | None = None, **options: object) -> "Visit":
        base_url = f"http://127.0.0.1:{port or self.bench.relay.port}{PREFIX}"
        self.page.call("client", baseUrl=base_url, tokens=[key or self.bench.key], **options)
        return self

    def read(self, model: str, **asked: object) -> Any:
        return self.start(model, **asked).result(60)

    def start(self, model: str, name: str = "read", **asked: object) -> "Future[Any]":
        return self.page.start(name, ask={"model": model, "messages": []}, **asked)


@pytest.fixture(scope="module")
def bench(pages: PageServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRelay]:
    environ = {"RELAY_CORS__ORIGINS": json.dumps([pages.origin()]), "RELAY_SERVER__PATH_PREFIX": PREFIX}
    with demo_relay(tmp_path_factory.mktemp("client"), **environ) as bench:
        yield bench


@pytest.fixture(params=["node", "tab"], ids=["node", "chromium"])
def visit(request: pytest.FixtureRequest, bench: DemoRelay) -> Visit:
    return Visit(request.getfixturevalue(request.param), bench).client()


@pytest.fixture
def cutting(bench: DemoRelay) -> Iterator[Callable[[int], CuttingProxy]]:
    """cutting(7): a way to the relay on which the first seven connections break, each at a random byte."""
    proxies: list[CuttingProxy] = []
    chance = random.Random(36)

    def start(cuts: int) -> CuttingProxy:
        proxies.append(CuttingProxy(bench.relay.port, (chance.randint(*CUT_BYTES) for _ in range(cuts))))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.stop()


def assert_whole(seen: Any, frames: int) -> None:
    assert (seen["error"], seen["state"]) == (None, "complete")
    assert numbers("".join(seen["texts"])) == [*range(frames)]
    assert [int(one.rpartition(":")[2]) for one in seen["ids"]] == [*range(1, len(seen["ids"]) + 1)]


def test_a_stream_is_read_whole_and_paid_once(visit: Visit) -> None:
    with visit.bench.demo.called(1):
        assert_whole(visit.read("mock-n50"), 50)


def cut_often(visit: Visit, cutting: Callable[[int], CuttingProxy], frames: int, cuts: int) -> None:
    proxy = cutting(cuts)
    visit.client(proxy.port, **PATIENT).page.call("hurry", times=FASTER)
    with visit.bench.demo.called(1):
        assert_whole(visit.read(f"mock-n{frames}-i200"), frames)
    assert proxy.broken == cuts


def test_one_that_is_cut_at_random_bytes_is_read_whole_and_paid_once(
    visit: Visit, cutting: Callable[[int], CuttingProxy]
) -> None:
    cut_often(visit, cutting, frames=600, cuts=15)


@pytest.mark.soak
def test_one_that_is_cut_two_hundred_times_is_read_whole_and_paid_once(
    visit: Visit, cutting: Callable[[int], CuttingProxy]
) -> None:
    cut_often(visit, cutting, frames=6_000, cuts=200)


@pytest.mark.parametrize("by", ["cancel", "abort", "break"])
def test_a_cancel_stops_the_upstream(visit: Visit, by: str) -> None:
    with visit.bench.demo.one_cancelled():
        assert visit.read("mock-n1000-i50000", leave={"after": 2, "by": by})["state"] == "cancelled"


def test_a_cancel_before_the_first_frame_stops_the_upstream(visit: Visit) -> None:
    with visit.bench.demo.one_cancelled():
        reading = visit.start("mock-n1000-i50000-d600000")
        until(lambda: visit.bench.demo.stats()["active"] == 1, 5, "a generation")
        visit.page.call("act", by="cancel")
        assert reading.result(10)["state"] == "cancelled"


def test_one_that_was_left_is_found_again_by_another_page_whole_and_paid_once(visit: Visit) -> None:
    with visit.bench.demo.called(1):
        left = visit.read("mock-n30-i20000", leave={"after": 5, "by": "close"})
        seen = visit.client().page.call("resume", left=left)
    assert (seen["error"], seen["state"]) == (None, "complete")
    assert numbers("".join(left["texts"] + seen["texts"])) == [*range(30)]
    assert f"{PREFIX}/v1/streams/rs_" in left["url"]


def test_what_was_read_whole_has_no_more_to_come(visit: Visit) -> None:
    visit.read("mock-n3")
    seen = visit.page.call("resume")
    assert (seen["error"], seen["state"], seen["texts"]) == (None, "complete", [])


def test_the_same_key_gets_the_same_answer_and_pays_nothing(visit: Visit) -> None:
    with visit.bench.demo.called(1):
        first, second = (visit.read("mock-n5", idempotencyKey=f"twice by {visit.name}") for _ in range(2))
    assert first["texts"] == second["texts"]


@pytest.mark.parametrize("fault", ["eof-no-done", "reset", "eof-mid-frame"])
def test_an_answer_that_the_upstream_broke_off_is_told(visit: Visit, fault: str) -> None:
    """Once by the relay, and not taken for whole when it is looked at again."""
    with visit.bench.demo.called(1):
        seen = visit.read(f"fault-{fault}")
    assert (seen["state"], seen["error"]["kind"]) == ("failed", "truncated")
    assert seen["error"]["code"] in ("upstream_incomplete", "upstream_disconnected")
    assert numbers("".join(seen["texts"])) == [0, 1, 2]
    assert visit.page.call("resume")["error"]["code"] == seen["error"]["code"]


def test_a_wrong_key_is_told_in_the_relays_words(visit: Visit) -> None:
    error = visit.client(key="rk_unknown").read("demo")["error"]
    assert (error["kind"], error["status"], error["code"]) == ("refused", 401, "invalid_api_key")
    assert (error["message"], error["requestId"][:4]) == ("The API key is not valid.", "req_")


def test_what_the_upstream_refuses_is_told_and_not_kept(visit: Visit) -> None:
    error = visit.read("fault-404")["error"]
    assert (error["kind"], error["status"], error["code"]) == ("refused", 404, "model_not_found")


def test_a_key_as_created_is_never_refused_what_the_limiter_lets_through(visit: Visit) -> None:
    visit.client(key=visit.bench.relay.create_key(f"default of {visit.name}"))
    ask = {"model": "mock-n5-i10000", "messages": []}
    assert [one["state"] for one in visit.page.call("readMany", count=12, ask=ask)] == ["complete"] * 12


def test_a_taken_slot_is_waited_for(visit: Visit) -> None:
    """By what the relay says; the page hears nothing of it."""
    visit.client(key=visit.bench.relay.create_key(f"one slot of {visit.name}", concurrent=1))
    holding = visit.start("mock-n6-i100000")
    until(lambda: visit.page.call("seen") >= 1, 5, "a stream on the slot")
    assert_whole(visit.read("mock-n2"), 2)
    assert_whole(holding.result(10), 6)


def test_as_the_relay_serves_it_a_page_may_load_it_and_it_knows_the_way_back(tab: Tab, bench: DemoRelay) -> None:
    for prefix in ("", PREFIX):
        tab.call("clientFrom", url=f"http://127.0.0.1:{bench.relay.port}{prefix}/relay-client.js")
        error = Visit(tab, bench).read("demo")["error"]
        assert (error["kind"], error["code"]) == ("refused", "missing_credentials")
        assert bench.relay.wait_for_log_line(request_id=error["requestId"])["status"] == 401
