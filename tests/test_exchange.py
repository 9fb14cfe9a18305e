"""The corridor: its order, what a refusal releases, and that all of it is released once."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from relay.core.caller import Caller
from relay.core.keys import KeyPolicy
from relay.exchange import Acquired, Exchange, enter, open_exchange

CALLER = Caller("key_1", KeyPolicy())
CORRIDOR = ["identify", "receive", "route", "admit", "sending", "open", "meter", "flow"]
HOLDING = ["admit", "open", "meter"]  # the rooms that give something which must be given back


class Refused(Exception):
    """Raised by the room that refuses."""


class Corridor:
    """All rooms in one, and the request: `notes` tells what was done; the room named `refusing` raises `refusal`."""

    credentials = SimpleNamespace()
    model = "gpt-test"
    held = "what is held"

    def __init__(self, refusing: str = "", refusal: BaseException | None = None, failing: str = "") -> None:
        self.notes: list[str] = []
        self._refusing, self._refusal, self._failing = refusing, refusal or Refused(refusing), failing
        self.authenticator = self.routing = self.gate = self.upstreams = self.accountant = self

    def identify(self, credentials: object) -> Caller:
        assert credentials is self.credentials
        self._enter("identify")
        return CALLER

    def receive_from(self, caller: Caller) -> None:
        self._enter("receive")

    def targets_for(self, model: str, caller: Caller) -> list[str]:
        self._enter("route")
        return [f"target of {model}"]

    def admit(self, caller: Caller, request: Any) -> Any:
        return self._hold("admit", None)

    def sending(self, request: Any) -> None:
        self._enter("sending")

    def open(self, targets: list[str], request: Any) -> Any:
        assert targets == ["target of gpt-test"]
        return self._hold("open", "the upstream")

    def meter(self, request: Any, upstream: Any) -> Any:
        return self._hold("meter", f"a meter of {upstream}")

    def flow_for(self, request: Any, upstream: Any) -> str:
        self._enter("flow")
        return f"the flow of {upstream}"

    def walk(self) -> Exchange:
        return open_exchange(self, enter(self, self), self)

    @property
    def released(self) -> list[str]:
        return [note[1:] for note in self.notes if note.startswith("-")]

    @contextmanager
    def _hold(self, name: str, thing: object) -> Iterator[object]:
        self._enter(name)
        try:
            yield thing
        finally:
            self.notes.append("-" + name)
            if name == self._failing:
                raise Refused(f"releasing {name}")

    def _enter(self, name: str) -> None:
        self.notes.append(name)
        if name == self._refusing:
            raise self._refusal


def test_the_rooms_are_walked_in_order_and_nothing_is_released_on_the_way() -> None:
    corridor = Corridor()
    exchange = corridor.walk()
    assert corridor.notes == CORRIDOR
    assert (exchange.names, exchange.held, exchange.upstream) == (("key_1",), "what is held", "the upstream")
    assert (exchange.flow, exchange.meter) == ("the flow of the upstream", "a meter of the upstream")


def test_closing_releases_in_reverse_order() -> None:
    corridor = Corridor()
    corridor.walk().close()
    assert corridor.released == ["meter", "open", "admit"]


def test_closing_twice_releases_once() -> None:
    corridor = Corridor()
    exchange = corridor.walk()
    exchange.close()
    exchange.close()
    assert len(corridor.released) == len(HOLDING)


@pytest.mark.parametrize("refusing", CORRIDOR)
@pytest.mark.parametrize("refusal", [Refused, gevent.Timeout, gevent.GreenletExit])
def test_whichever_room_refuses_what_was_acquired_before_is_released_once(
    refusing: str, refusal: type[BaseException]
) -> None:
    corridor = Corridor(refusing, refusal())
    with pytest.raises(refusal):
        corridor.walk()
    entered = CORRIDOR[: CORRIDOR.index(refusing) + 1]
    held = [room for room in entered if room in HOLDING and room != refusing]
    assert corridor.notes == [*entered, *("-" + room for room in reversed(held))]


@pytest.mark.parametrize("failing", HOLDING)
def test_a_room_that_fails_to_release_does_not_keep_the_others_from_it(failing: str) -> None:
    corridor = Corridor(failing=failing)
    exchange = corridor.walk()
    with pytest.raises(Refused, match=f"releasing {failing}"):
        exchange.close()
    exchange.close()
    assert corridor.released == ["meter", "open", "admit"]


def test_an_exchange_that_holds_nothing_yet_can_be_closed() -> None:
    Exchange(CALLER, None, "the upstream", Corridor().flow_for(None, None), "a meter").close()  # type: ignore[arg-type]


class Part:
    """Something to give back: `notes` tells that it was, and with what error; `failing` raises then."""

    def __init__(self, notes: list[str], name: str, failing: bool = False) -> None:
        self._notes, self._name, self._failing = notes, name, failing

    def __enter__(self) -> str:
        return self._name

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._notes.append(f"{self._name} {kind.__name__ if kind else None}")
        if self._failing:
            raise OSError(self._name)


def test_all_is_given_back_in_reverse_also_where_a_part_fails() -> None:
    notes: list[str] = []
    with pytest.raises(OSError, match="b"), Acquired() as acquired:
        assert [acquired.take(Part(notes, name, name == "b")) for name in "abc"] == ["a", "b", "c"]
    assert notes == ["c None", "b None", "a OSError"]


def test_what_was_handed_over_is_given_back_once_by_whoever_has_it() -> None:
    notes: list[str] = []
    with Acquired() as acquired:
        acquired.take(Part(notes, "a"))
        others = acquired.hand_over()
    assert notes == []
    others.close()
    others.close()
    assert notes == ["a None"]
