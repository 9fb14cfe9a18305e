"""The making of one task: its log is open before its turn comes, and tells each stage and the one end."""

from typing import Any, Protocol

from relay.core.errors import RelayError
from relay.core.flow import Ending
from relay.core.kept import Kept
from relay.streams.production import Production, Pump, code_of


class TaskWork(Protocol):
    """What a task is made of. Each of the last three tells the end in the log, and ends what is kept."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def detach(self) -> str: ...

    def hurry(self) -> None:
        """It is to end, and may still wait for its turn."""

    def open(self, presence: Any, stream_id: str) -> Any: ...

    def answered(self, upstream: Any) -> None: ...

    def refused(self, error: RelayError) -> None: ...

    def cancelled(self, end: str, code: str) -> None: ...


class TaskProduction(Production):
    """`work`: a task's."""

    def __init__(self, kept: Kept, work: TaskWork, pump: Pump) -> None:
        super().__init__(kept, work, pump)  # type: ignore[arg-type]  # a task has no head to be answered with
        self._task = work

    def run(self) -> None:
        """Make it, unless it was ended while it waited."""
        if self._cancelled_as:
            self._end_unbegun()
        else:
            super().run()

    def cancel(self, end: str) -> None:
        super().cancel(end)
        self._task.hurry()

    def _answered(self, exchange: Any) -> None:
        self._task.answered(exchange.upstream)

    def _refuse(self, error: RelayError) -> None:
        self._task.refused(error)

    def _end_unbegun(self) -> None:
        self._task.cancelled(self._cancelled_as, code_of(self._cancelled_as))

    def _end(self, ending: Ending | None, flow: Any) -> None:
        super()._end(ending or flow.broken("drained", "relay_draining"), flow)
