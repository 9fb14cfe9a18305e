"""What is asked, in which order."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from relay.core.diagnosis.evidence import Answer, Evidence, Stream
from relay.core.diagnosis.headers import ASKED_HEADERS, ASKED_METHOD
from relay.core.diagnosis.reaching import ALIVE

FRAMES, INTERVAL_MS = 20, 100
PACED = f"/selftest?frames={FRAMES}&interval_ms={INTERVAL_MS}"
SHORT = "/selftest?frames=2&interval_ms=10"
# What a paced stream, and what comes after a silence, may take beyond its own time.
SPARE_SECONDS = 20.0
PATHS_TRIED_MAX = 5


class Asked(Protocol):
    """The public address."""

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer: ...

    def listen(self, path: str, headers: Mapping[str, str], seconds_max: float) -> Stream: ...


@dataclass(frozen=True)
class Order:
    """What is to be examined. `key` and `origin` may be ""; `silence_seconds` 0: no silence is tried."""

    path: str
    key: str
    origin: str
    silence_seconds: int = 0


def examine(address: Asked, elsewhere: Callable[[str], Asked], order: Order, tell: Callable[[str], None]) -> Evidence:
    """Ask all that `order` allows. `elsewhere(path)`: the same host at another path; `tell`: hears what comes now."""
    tell("is the relay there")
    live = address.ask("GET", "/health/live", {})
    evidence = Evidence(order.path, order.origin, live)
    if not _is_alive(live):
        return replace(evidence, found_at=_found_at(elsewhere, order.path) if live.status else None)
    tell("errors and preflight")
    page = {"Origin": order.origin} if order.origin else {}
    evidence = replace(evidence, unkeyed=address.ask("GET", SHORT, page))
    if order.origin:
        evidence = replace(evidence, preflight=address.ask("OPTIONS", "/v1/chat/completions", _preflight(order.origin)))
    return _with_key(address, evidence, order, tell) if order.key else evidence


def _with_key(address: Asked, evidence: Evidence, order: Order, tell: Callable[[str], None]) -> Evidence:
    tell("a paced stream")
    page = {"Origin": order.origin} if order.origin else {}
    key = {"Authorization": f"Bearer {order.key}"}
    seconds_max = FRAMES * INTERVAL_MS / 1000 + SPARE_SECONDS
    evidence = replace(evidence, plain=address.listen(PACED, {**page, **key}, seconds_max))
    assert evidence.plain is not None
    if evidence.plain.answer.status == 401:
        key = {"X-API-Key": order.key}
        evidence = replace(evidence, by_other=address.listen(PACED, {**page, **key}, seconds_max))
    if evidence.stream is None:
        return evidence
    tell("headers and compression")
    sent = _dressed(order)
    worn = address.listen(SHORT, {**page, **key, **sent, "Accept-Encoding": "gzip"}, SPARE_SECONDS)
    names = tuple(sent) if evidence.by_other is None else tuple(name for name in sent if name != "X-API-Key")
    evidence = replace(evidence, dressed=worn, sent_id=sent["X-Request-Id"], sent_names=names)
    if not order.silence_seconds:
        return evidence
    tell(f"a silence of {order.silence_seconds} s")
    quiet = f"/selftest?frames=1&silence_seconds={order.silence_seconds}"
    return replace(evidence, silent=address.listen(quiet, {**page, **key}, order.silence_seconds + SPARE_SECONDS))


def _dressed(order: Order) -> dict[str, str]:
    """All that a client may send; on this route none of it does anything."""
    name = "doctor-" + secrets.token_hex(8)
    return {
        "X-API-Key": order.key,
        "Last-Event-ID": name,
        "Idempotency-Key": name,
        "Relay-Resume": "0",
        "X-Request-Id": name,
    }


def _preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": ASKED_METHOD,
        "Access-Control-Request-Headers": ",".join(ASKED_HEADERS),
    }


def _found_at(elsewhere: Callable[[str], Asked], path: str) -> str | None:
    """The nearest path above at which the relay answers, if any does."""
    for _ in range(PATHS_TRIED_MAX):
        if not path:
            return None
        path = path.rpartition("/")[0]
        if _is_alive(elsewhere(path).ask("GET", "/health/live", {})):
            return path
    return None


def _is_alive(answer: Answer) -> bool:
    return answer.status == 200 and ALIVE in answer.body
