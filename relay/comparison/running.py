"""A run: each model on each way, one call after another, then at once. Bounded in calls and in time."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from relay.comparison.calling import Caller, Way
from relay.core.comparison.figures import Call

CALL_SECONDS_MAX = 120.0
ALONE, AT_ONCE = "sequential", "parallel"
PROMPT = "Write about the history of the telegraph, in plain prose and at length, until you are stopped."


@dataclass(frozen=True)
class Plan:
    """What is to be run: `requests` one after another, then `parallel` at once (0: none), on each way."""

    models: Sequence[str]
    requests: int
    output_tokens: int
    parallel: int
    seconds_max: float

    def total(self, ways: int) -> int:
        """Number of calls."""
        return len(self.models) * ways * (self.requests + self.parallel)

    def body(self, model: str) -> Mapping[str, Any]:
        asked = [{"role": "user", "content": PROMPT}]
        options = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": self.output_tokens}
        return {"model": model, "messages": asked, **options}


@dataclass
class Run:
    """`calls`: by model, kind of run and way. `cut_short`: the time was up before all was done."""

    calls: dict[tuple[str, str, str], list[Call]] = field(default_factory=dict)
    cut_short: bool = False


class Runner:
    """Calls all that `plan` says; `tell` hears of each call that is over, in any thread."""

    def __init__(self, plan: Plan, ways: Sequence[Way], tell: Callable[[], None]) -> None:
        self._plan, self._ways, self._tell = plan, ways, tell
        self._deadline = time.monotonic() + plan.seconds_max
        self._done = Run()

    def run(self) -> Run:
        """Return what was measured, once all is over or the time is up."""
        for model in self._plan.models:
            self._alone(model)
            for way in self._ways if self._plan.parallel else ():
                self._at_once(model, way)
        return self._done

    def _alone(self, model: str) -> None:
        """The ways take turns, so that whatever changes meanwhile changes for all of them."""
        with ExitStack() as open_:
            callers = [(self._calls(model, ALONE, way), open_.enter_context(Caller(way))) for way in self._ways]
            for _ in range(self._plan.requests):
                for calls, caller in callers:
                    if self._seconds() <= 0:
                        self._done.cut_short = True
                        return
                    calls.append(self._call(caller, model))

    def _at_once(self, model: str, way: Way) -> None:
        calls = self._calls(model, AT_ONCE, way)
        if self._seconds() <= 0:
            self._done.cut_short = True
            return

        def call(_: int) -> Call:
            with Caller(way) as caller:
                return self._call(caller, model)

        with ThreadPoolExecutor(self._plan.parallel) as pool:
            calls += pool.map(call, range(self._plan.parallel))

    def _call(self, caller: Caller, model: str) -> Call:
        made = caller.call(self._plan.body(model), self._seconds())
        self._tell()
        return made

    def _calls(self, model: str, kind: str, way: Way) -> list[Call]:
        return self._done.calls.setdefault((model, kind, way.name), [])

    def _seconds(self) -> float:
        """What the next call may take."""
        return min(CALL_SECONDS_MAX, self._deadline - time.monotonic())
