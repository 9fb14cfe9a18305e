"""Client tokens: what one says, what may be asked for when one is made, and where asking for more is refused.

A token is `ek_` + a JWT (RFC 7519) whose header names its key (`kid`). Here are its claims; signing is relay/tokens.py.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.core.reading import read

TOKEN_PREFIX = "ek_"
TOKEN_BYTES_MAX = 4096
SCOPES: tuple["Scope", ...] = ("chat", "tasks", "streams")
SECONDS_MIN, SECONDS_DEFAULT = 10, 600
# How far the clock of whoever mints offline may go ahead of ours.
SKEW_SECONDS = 60

T = TypeVar("T")
Issuer = Literal["relay"]
Scope = Literal["chat", "tasks", "streams"]
TokenId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}\Z")]
Subject = Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z")]
Model = Annotated[str, Meta(min_length=1, max_length=128)]
# RFC 6454 7, as browsers send it: never `null`, no wildcard
Origin = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]_-]+\Z")]
# 0 would be no limit elsewhere: a backend that computes what is left must not give everything away
Count = Annotated[int, Meta(ge=1, le=10**12)]
Dollars = Annotated[float, Meta(gt=0, le=10**9)]
Moment = Annotated[float, Meta(ge=0, le=10**12)]


class TokenLimits(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Totals over a token's life; `concurrent`: at once. None is no limit of the token's own."""

    requests: Count | None = None
    tokens: Count | None = None
    concurrent: Count | None = None
    cost_usd: Dollars | None = None

    @property
    def are_counted(self) -> bool:
        """Whether there is a total to keep."""
        return not (self.requests is None and self.tokens is None and self.cost_usd is None)


NO_LIMITS = TokenLimits()


class Lifetime(Struct, frozen=True, forbid_unknown_fields=True):
    seconds: int = SECONDS_DEFAULT


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody who has the key asks for."""

    expires_after: Lifetime = Lifetime()
    sub: Subject = ""
    models: tuple[Model, ...] = ()
    scopes: tuple[Scope, ...] = SCOPES
    origins: tuple[Origin, ...] = ()
    limits: TokenLimits = NO_LIMITS
    max_output_tokens: Count | None = None


class Claims(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a token says. A misspelt limit would be none: unknown claims are refused.

    `iat`, `exp`, `nbf`: UTC epoch seconds. Empty `models` or `origins`: whatever the key may.
    """

    iss: Issuer
    aud: Issuer
    jti: TokenId
    iat: Moment
    exp: Moment
    nbf: Moment = 0
    sub: Subject = ""
    models: tuple[Model, ...] = ()
    scopes: tuple[Scope, ...] = SCOPES
    origins: tuple[Origin, ...] = ()
    limits: TokenLimits = NO_LIMITS
    max_output_tokens: Count | None = None


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """When a token is looked at, UTC epoch seconds, and how long one may live at most."""

    now: float
    seconds_max: float


_wish = msgspec.json.Decoder(Wish)
_claims = msgspec.json.Decoder(Claims)
_PLACE = re.compile(r"`\$\.?([^`]*)`")
_UNKNOWN = re.compile(r"unknown field `([^`]{1,64})`")


def read_wish(body: bytes) -> Wish:
    """Return what a JSON body asks for. Raises RelayError invalid_request that names the member."""
    return _checked(lambda: _wish.decode(body))


def wish_for(members: dict[str, Any]) -> Wish:
    """Return what these members ask for, as above."""
    return _checked(lambda: msgspec.convert(members, Wish, strict=True))


def read_claims(payload: bytes) -> Claims | None:
    """Return what a signed payload says, None where it is anything but a token of ours."""
    return read(_claims, payload)


def granted(wish: Wish, policy: KeyPolicy, token_id: str, times: TokenTimes) -> Claims:
    """Return the claims of a new token. Raises RelayError invalid_request for more than the key itself may."""
    _check_lifetime(wish.expires_after.seconds, times.seconds_max)
    _check_among("models", wish.models, policy.models)
    _check_among("origins", wish.origins, policy.origins)
    if not wish.scopes:
        raise _too_much("scopes", "must hold one at least")
    limits, ceilings = wish.limits, policy
    _check_below("limits.concurrent", limits.concurrent, ceilings.concurrent)
    _check_below("limits.cost_usd", limits.cost_usd, ceilings.budget_usd)
    _check_below("max_output_tokens", wish.max_output_tokens, ceilings.max_output_tokens)
    fields = {name: getattr(wish, name) for name in ("sub", "models", "scopes", "origins", "limits")}
    issued_at = int(times.now)
    return Claims(
        iss="relay",
        aud="relay",
        jti=token_id,
        iat=issued_at,
        exp=issued_at + wish.expires_after.seconds,
        max_output_tokens=wish.max_output_tokens,
        **fields,
    )


def _check_lifetime(seconds: int, seconds_max: float) -> None:
    if not SECONDS_MIN <= seconds <= seconds_max:
        raise _too_much("expires_after.seconds", f"must be from {SECONDS_MIN} to {seconds_max:g}")


def _check_among(member: str, asked: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    if allowed and not set(asked) <= set(allowed):
        raise _too_much(member, "holds more than the key may use")


def _check_below(member: str, asked: float | None, ceiling: float) -> None:
    if asked is not None and ceiling and asked > ceiling:
        raise _too_much(member, f"is above the key's own limit of {ceiling:g}")


def _too_much(member: str, reason: str) -> RelayError:
    return RelayError("invalid_request", f"'{member}' {reason}.", param=member)


def _checked(convert: Any) -> Wish:
    try:
        wish: Wish = convert()
    except msgspec.ValidationError as error:
        member = _member(str(error))
        raise RelayError("invalid_request", f"'{member}' is not what it may be.", param=member) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RelayError("invalid_request", "The request body is not a JSON object.") from None
    return wish


def _member(problem: str) -> str:
    """The member that msgspec complains of; of a value only its place is told."""
    place, unknown = _PLACE.search(problem), _UNKNOWN.search(problem)
    parts = [place[1] if place else "", unknown[1] if unknown else ""]
    return ".".join(part for part in parts if part) or "body"
