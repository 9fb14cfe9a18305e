"""Caller -> Admission: concurrency, tokens, money and rate; what was taken is released exactly once, and a refused
request takes nothing.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

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


class TokenRates(Protocol):
    """Tokens per key and minute. May raise RelayError."""

    def look(self, key_id: str, per_minute: int) -> RateState: ...


class Held(Protocol):
    """What a request holds of its other limits. `token_state`: the key's tokens of the minute, if they are limited."""

    token_state: RateState | None

    def give_back(self) -> None: ...

    def settle(self, told: Any) -> None: ...


class Spending(Protocol):
    """Tokens and money. May raise RelayError."""

    def hold(self, caller: Caller, request: Any) -> Any: ...


class Admitted(Protocol):
    """The request, as far as this room looks: where the limit headers of its answer are collected."""

    limit_headers: list[tuple[str, str]]
    held: Any
    record: Any


class Gate:
    """Admits requests. The rate is hit last, because a hit cannot be given back."""

    def __init__(self, slots: Slots, rates: Rates, token_rates: TokenRates, spending: Spending) -> None:
        self._slots, self._rates, self._token_rates, self._spending = slots, rates, token_rates, spending

    @contextmanager
    def admit(self, caller: Caller, request: Admitted) -> Iterator[None]:
        """Hold a slot, and what else is limited, for the request; `request.held` is that.

        Raises RelayError too_many_streams, rate_limit_exceeded, tokens_rate_limit_exceeded, insufficient_quota,
        model_not_allowed, store_unavailable.
        """
        key_id, slots_max = caller.key_id, caller.policy.concurrent
        lease = self._slots.acquire(key_id, slots_max)
        if lease is None:
            raise RelayError(
                "too_many_streams",
                f"This key may have {slots_max} requests at once.",
                retry_after_seconds=SLOT_RETRY_SECONDS,
            )
        try:
            request.held = held = self._spending.hold(caller, request)
            try:
                self._hit_rate(caller, request, held.token_state)
            except BaseException:
                held.give_back()
                raise
            try:
                yield
            finally:
                held.settle(request.record)
        finally:
            self._slots.release(key_id, lease)

    def hit(self, caller: Caller, request: Admitted) -> None:
        """Count a request that is admitted later, when its turn comes. Raises RelayError rate_limit_exceeded,
        store_unavailable.
        """
        self._hit_rate(caller, request, self._look_at_tokens(caller))

    def try_admit(self, caller: Caller, request: Admitted) -> ExitStack | None:
        """Hold, until it is closed, what a request needs that was counted before; None where no slot is free.

        Raises RelayError tokens_rate_limit_exceeded, insufficient_quota, model_not_allowed, store_unavailable.
        """
        lease = self._slots.acquire(caller.key_id, caller.policy.concurrent)
        if lease is None:
            return None
        with ExitStack() as held:
            held.callback(self._slots.release, caller.key_id, lease)
            try:
                request.held = self._spending.hold(caller, request)
            except RelayError as error:
                if error.code == "too_many_streams":  # of its token, not of its key
                    return None
                raise
            held.callback(lambda: request.held.settle(request.record))
            return held.pop_all()

    def show(self, caller: Caller, request: Admitted) -> None:
        """Tell a known caller its limits also where the request was refused before they were asked."""
        if request.limit_headers:
            return
        requests = self._rates.look(caller.key_id, caller.policy.rpm) if caller.policy.rpm else None
        request.limit_headers += _limit_headers(requests, self._look_at_tokens(caller))

    def _hit_rate(self, caller: Caller, request: Admitted, tokens: RateState | None) -> None:
        per_minute = caller.policy.rpm
        state = self._rates.hit(caller.key_id, per_minute) if per_minute else None
        request.limit_headers += _limit_headers(state, tokens)
        if state is not None and not state.allowed:
            raise RelayError(
                "rate_limit_exceeded",
                f"This key may send {per_minute} requests a minute.",
                retry_after_seconds=state.reset_seconds,
            )

    def _look_at_tokens(self, caller: Caller) -> RateState | None:
        try:
            return self._token_rates.look(caller.key_id, caller.policy.tpm) if caller.policy.tpm else None
        except RelayError:  # what is told of a refusal must not be another
            return None


def _limit_headers(requests: RateState | None, tokens: RateState | None) -> list[tuple[str, str]]:
    """The SDKs' headers and the IETF draft's (draft-ietf-httpapi-ratelimit-headers)."""
    states = [(name, state) for name, state in (("requests", requests), ("tokens", tokens)) if state is not None]
    if not states:
        return []
    headers = [header for name, state in states for header in _sdk_headers(name, state)]
    policies = ", ".join(f'"{name}";q={state.limit};w=60' for name, state in states)
    left = ", ".join(f'"{name}";r={state.remaining};t={_whole(state.reset_seconds)}' for name, state in states)
    return [*headers, ("RateLimit-Policy", policies), ("RateLimit", left)]


def _sdk_headers(name: str, state: RateState) -> list[tuple[str, str]]:
    return [
        (f"x-ratelimit-limit-{name}", str(state.limit)),
        (f"x-ratelimit-remaining-{name}", str(state.remaining)),
        (f"x-ratelimit-reset-{name}", f"{max(0.001, state.reset_seconds):.3f}s"),
    ]


def _whole(seconds: float) -> int:
    return min(60, -int(-seconds // 1))
