"""A process that works tasks off: it takes what waits, whoever accepted it, as long as it has room."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent

from relay.core.errors import RelayError
from relay.stores.redis_link import StoreDown
from relay.stores.task_queue import Taken
from relay.tasks.shared_queue import SharedQueue
from relay.tasks.tasks import Accepted, Begun

# How often it is looked for tasks where none waited; and for how long a key is passed over that had no free slot.
LOOK_SECONDS = 0.05
PASSED_OVER_SECONDS = 0.25
# Of six seconds of lease two may be missed.
ANNOUNCE_SECONDS = 2.0


class NotOurs(RelayError):
    """Somebody took this process for dead, and goes on with its task."""

    def __init__(self) -> None:
        super().__init__("draining", "The relay is being restarted.")


class Worker:
    """`relay`: the process' rooms. `parallel`: how many tasks run at a time; `running`: how many do."""

    def __init__(self, relay: Any, parallel: int, report: Callable[[str, BaseException], None]) -> None:
        self._relay, self._parallel, self._report = relay, parallel, report
        self._shared: SharedQueue = relay.tasks.queue
        self._passed_over: dict[str, float] = {}
        self.running = 0
        self.is_stopping = False

    def run(self) -> None:
        """Work until it is to stop."""
        announced_at = 0.0
        self._shared.join()
        while not self.is_stopping:
            now = time.monotonic()
            try:
                if now - announced_at >= ANNOUNCE_SECONDS:
                    self._shared.queue.announce()
                    announced_at = now
                busy = self.running < self._parallel and self._take_next(now)
            except (StoreDown, RelayError):
                busy = False
            if not busy:
                gevent.sleep(LOOK_SECONDS)

    def _take_next(self, now: float) -> bool:
        """Whether there was one."""
        self._passed_over = {key_id: until for key_id, until in self._passed_over.items() if until > now}
        taken = self._shared.queue.take(self._passed_over)
        if taken is None:
            return False
        begun = self._resume(taken)
        if begun is None:  # it was cancelled, or is not known any more
            self._shared.queue.done(taken.stream_id)
        elif begun.job.try_start():
            self.running += 1
            gevent.spawn(self._run, taken, begun)
        else:
            self._give_back(taken, begun, now)
        return True

    def _resume(self, taken: Taken) -> Begun | None:
        relay = self._relay
        kept = self._shared.take_over(taken.placed, taken.stream_id)
        if kept is None:
            return None
        record = relay.accountant.record_of(taken.placed)
        accepted = Accepted(taken.placed, kept, record, lambda: self._mark(taken, kept))
        begun: Begun = relay.tasks.resume(relay, accepted)
        return begun

    def _mark(self, taken: Taken, kept: Any) -> None:
        try:
            if self._shared.queue.begin(taken.stream_id):
                return
        except StoreDown:
            raise RelayError("store_unavailable", "The queue of tasks does not answer.") from None
        self._shared.release(kept)
        raise NotOurs

    def _give_back(self, taken: Taken, begun: Begun, now: float) -> None:
        """Its key has no free slot."""
        self._passed_over[taken.placed.caller.key_id] = now + PASSED_OVER_SECONDS
        self._relay.streams.producing.pop(taken.stream_id, None)
        self._shared.release(begun.job.production.kept)
        self._shared.queue.give_back(taken.stream_id)

    def _run(self, taken: Taken, begun: Begun) -> None:
        try:
            begun.job.run()
        except Exception as error:
            self._report("task", error)
        finally:
            begun.job.give_back()
            self.running -= 1
            with suppress(StoreDown):
                self._shared.queue.done(taken.stream_id)
