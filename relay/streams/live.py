"""What runs in this worker, for its operator: streams that are made for a log, and those that go to their callers."""

import time
from typing import Any

from relay.core.errors import RelayError
from relay.core.task_ids import claim_of, read_task_id
from relay.streams.production import Production
from relay.streams.streams import Streams


class LiveStreams:
    """`pump.live`: the streams on the loop, each with its exchange."""

    def __init__(self, streams: Streams, pump: Any) -> None:
        self._streams, self._pump = streams, pump

    def running(self) -> list[dict[str, Any]]:
        """Each as JSON: id, key_id, route, model, status, age_seconds, frames."""
        kept = [_kept(production) for production in self._streams.producing.values()]
        return [*kept, *(_plain(exchange) for _, exchange in self._plain_streams())]

    def cancel(self, name: str) -> int:
        """End what is called so: a stream, a task, or a request. Return how many there were here."""
        production = self._production(name)
        if production is not None:
            production.cancel("cancelled")
            return 1
        streams = [stream for stream, exchange in self._plain_streams() if exchange.meter.record.request_id == name]
        for stream in streams:
            stream.cut("cancelled", "cancelled")
        return len(streams)

    def _production(self, name: str) -> Production | None:
        task_id = read_task_id(name)
        if task_id is None:
            return self._streams.producing.get(name)
        try:
            kept = self._streams.claimed(claim_of(task_id))
        except RelayError:  # Redis is away
            return None
        return None if kept is None else self._streams.producing.get(kept.subject.id)

    def _plain_streams(self) -> list[tuple[Any, Any]]:
        made = {production.stream for production in self._streams.producing.values()}
        return [(stream, exchange) for stream, exchange in self._pump.live.items() if stream not in made]


def _kept(production: Production) -> dict[str, Any]:
    kept, subject = production.kept, production.kept.subject
    return {
        "id": subject.id,
        "key_id": subject.owner.partition("/")[0],
        "route": subject.route,
        "model": subject.model,
        "status": kept.status,
        "age_seconds": round(max(0.0, time.time() - subject.created_at), 3),
        "frames": kept.log.last_seq,
    }


def _plain(exchange: Any) -> dict[str, Any]:
    record = exchange.meter.record
    return {
        "id": record.request_id,
        "key_id": record.key_id,
        "route": record.route,
        "model": record.model,
        "status": "live",
        "age_seconds": round(time.monotonic() - record.begun_at, 3),
        "frames": exchange.flow.frames,
    }
