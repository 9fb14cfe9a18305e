"""Caller -> Admission: concurrency and rate; what was taken is released exactly once, and a refused request takes
nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from relay.core.caller import Caller
from relay.core.errors import RelayError

SLOT_RETRY_SECONDS = 1.0


class Slots(Protocol):
    """Concurrency slots per key: a lease each, or None where all are taken. May raise RelayError."""

    def acquire(self, key_id: str, slots_max: int) -> str | None: ...

    def release(self, key_id: str, lease: str) -> object: ...


class RateState(Protocol):
    """A key's minute after a hit."""

    @property
    def allowed(self) -> bool: ...

    @property
    def limit(self) -> int: ...

    @property
    def remaining(self) -> int: ...

    @property
    def reset_seconds(self) -> float: ...


class Rates(Protocol):
    """Requests per key and minute. May raise RelayError."""

    def hit(self, key_id: str, per_minute: int) -> RateState: ...

    def look(self, key_id: str, per_minute: int) -> RateState: ...


class Admitted(Protocol):
    """The request, as far as this room looks: where the limit headers of its answer are collected."""

    limit_headers: list[tuple[str, str]]


class Gate:
    """Admits requests. The rate is hit last, because a hit cannot be given back."""

    def __init__(self, slots: Slots, rates: Rates) -> None:
        self._slots, self._rates = slots, rates

    @contextmanager
    def admit(self, caller: Caller, request: Admitted) -> Iterator[None]:
        """Hold a slot for the request. Raises RelayError too_many_streams, rate_limit_exceeded, store_unavailable."""
        key_id, slots_max = caller.key_id, caller.policy.concurrent
        lease = self._slots.acquire(key_id, slots_max)
        if lease is None:
            raise RelayError(
                "too_many_streams",
                f"This key may have {slots_max} requests at once.",
                retry_after_seconds=SLOT_RETRY_SECONDS,
            )
        try:
            self._hit_rate(caller, request)
            yield
        finally:
            self._slots.release(key_id, lease)

    def show(self, caller: Caller, request: Admitted) -> None:
        """Tell a known caller its limits also where the request was refused before they were asked."""
        if caller.policy.rpm and not request.limit_headers:
            request.limit_headers += _limit_headers(self._rates.look(caller.key_id, caller.policy.rpm))

    def _hit_rate(self, caller: Caller, request: Admitted) -> None:
        per_minute = caller.policy.rpm
        if not per_minute:
            return
        state = self._rates.hit(caller.key_id, per_minute)
        request.limit_headers += _limit_headers(state)
        if not state.allowed:
            raise RelayError(
                "rate_limit_exceeded",
                f"This key may send {per_minute} requests a minute.",
                retry_after_seconds=state.reset_seconds,
            )


def _limit_headers(state: RateState) -> list[tuple[str, str]]:
    """The SDKs' headers and the IETF draft's (draft-ietf-httpapi-ratelimit-headers)."""
    reset = f"{max(0.001, state.reset_seconds):.3f}s"
    whole = min(60, -int(-state.reset_seconds // 1))
    return [
        ("x-ratelimit-limit-requests", str(state.limit)),
        ("x-ratelimit-remaining-requests", str(state.remaining)),
        ("x-ratelimit-reset-requests", reset),
        ("RateLimit-Policy", f'"requests";q={state.limit};w=60'),
        ("RateLimit", f'"requests";r={state.remaining};t={whole}'),
    ]
