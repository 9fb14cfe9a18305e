"""A task as the pool sees it: it waits for its turn and for a slot of its key, then it is made."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from relay.core.caller import Caller
from relay.core.errors import RelayError


class Gate(Protocol):
    """What admits it when its turn comes; None where no slot is free."""

    def try_admit(self, caller: Caller, request: Any) -> ExitStack | None: ...


class TaskJob:
    """`key_id`: whose turn it is; `lane`: whose slot; `make`: makes `production`. In the corridor it is the gate."""

    def __init__(self, caller: Caller, gate: Gate) -> None:
        self._caller, self._gate = caller, gate
        self.key_id, self.lane = caller.key_id, caller.token_name
        self._held = ExitStack()
        self._refusal: RelayError | None = None
        self.request: Any = None
        self.production: Any = None
        self.make: Callable[[Any], None] = _nothing

    def try_start(self) -> bool:
        """Whether it may run now: also where it will be refused then. Where the slots cannot be asked, none is free."""
        try:
            held = self._gate.try_admit(self._caller, self.request)
        except RelayError as error:
            self._refusal = error
            return error.code != "store_unavailable"
        self._held = held or self._held
        return held is not None

    @contextmanager
    def admit(self, caller: Caller, request: Any) -> Iterator[None]:
        """Its rate was hit when it was accepted, the rest is held. Raises the RelayError that its turn brought."""
        if self._refusal is not None:
            raise self._refusal
        try:
            yield
        finally:
            self.give_back()

    def give_back(self) -> None:
        """What it holds, if it still does."""
        self._held.close()

    def run(self) -> None:
        """Make it."""
        self.make(self.production)

    def cancel(self, end: str) -> None:
        """End it, wherever it is."""
        self.production.cancel(end)


def _nothing(production: Any) -> None:
    """There is nothing to make yet."""
