"""Looking after running streams: who is cut, and who is not."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from relay.core.errors import RelayError
from relay.spending.watch import SpendingWatch
from relay.stores.database import StoreError


@dataclass(eq=False)
class Stream:
    cuts: list[tuple[str, str]] = field(default_factory=list)

    def cut(self, end: str, code: str) -> None:
        self.cuts.append((end, code))


class Held:
    def __init__(self, limit: int, failure: Exception | None = None) -> None:
        self._limit, self._failure = limit, failure

    def covers(self, frames: int) -> bool:
        if self._failure:
            raise self._failure
        return frames <= self._limit


class Unsettled:
    failure: Exception | None = None
    retries = 0

    def retry(self) -> None:
        self.retries += 1
        if self.failure:
            raise self.failure


def exchange(held: Held, frames: int) -> Any:
    return SimpleNamespace(held=held, flow=SimpleNamespace(frames=frames))


def looked_at(unsettled: Unsettled, *exchanges: Any) -> list[list[tuple[str, str]]]:
    running = {Stream(): exchange for exchange in exchanges}
    SpendingWatch(lambda: running, unsettled).look()  # type: ignore[arg-type]
    return [stream.cuts for stream in running]


def test_a_stream_beyond_what_it_may_cost_is_cut_and_no_other() -> None:
    cuts = looked_at(Unsettled(), exchange(Held(10), 10), exchange(Held(10), 11), exchange(Held(0), 0))
    assert cuts == [[], [("budget", "budget_exhausted")], []]


@pytest.mark.parametrize("failure", [StoreError("away"), RelayError("store_unavailable", "away")])
def test_nobody_is_cut_because_a_store_is_away(failure: Exception) -> None:
    cuts = looked_at(Unsettled(), exchange(Held(0, failure), 10), exchange(Held(10), 11))
    assert cuts == [[], [("budget", "budget_exhausted")]]


def test_what_is_not_settled_is_tried_at_each_look_and_does_not_keep_streams_from_being_cut() -> None:
    unsettled = Unsettled()
    looked_at(unsettled)
    unsettled.failure = StoreError("away")
    assert looked_at(unsettled, exchange(Held(0), 1)) == [[("budget", "budget_exhausted")]]
    assert unsettled.retries == 2
