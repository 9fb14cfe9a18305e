"""How much output a request asks for, and the ceiling that a key or a token sets to it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from relay.core.errors import RelayError
from relay.core.reading import read
from relay.core.routes import Route
from relay.core.spending import BYTES_PER_TOKEN, OUTPUT_TOKENS_ASSUMED, Estimate

# Whatever a route calls it, an upstream may know it under another of these names.
BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# Several answers to one prompt.
COPIES = ("n", "best_of")
COUNT_MAX = 10**12

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_count = msgspec.json.Decoder(int | None)


def with_ceiling(body: bytes, route: Route, ceiling: int) -> bytes:
    """Return the body with its output bounded by `ceiling` tokens, for all its answers together.

    Raises RelayError invalid_request, request_too_large_for_limit. A route that generates no text is left alone.
    """
    if not route.output_bounds:
        return body
    members = _members_of(body)
    copies = _copies(members)
    for name in BOUNDS:
        stated = _count_of(members, name)
        if stated is not None and stated * copies > ceiling:
            raise _too_large(name, ceiling)
    if copies > ceiling:
        raise _too_large("n", ceiling)
    if all(_count_of(members, name) is None for name in route.output_bounds):
        share = ceiling // copies
        members[route.output_bounds[0]] = msgspec.Raw(b"%d" % min(share, route.output_default or share))
    return msgspec.json.encode(members)  # each member once: an upstream must not read another than we did


def estimate_of(body: bytes, route: Route) -> Estimate:
    """Return what a request may take. Raises RelayError invalid_request."""
    input_tokens = -(-len(body) // BYTES_PER_TOKEN)
    if not route.output_bounds:
        return Estimate(input_tokens, 0)
    members = _members_of(body)
    stated = [count for name in route.output_bounds if (count := _count_of(members, name)) is not None]
    return Estimate(input_tokens, max(stated, default=OUTPUT_TOKENS_ASSUMED) * _copies(members))


def _members_of(body: bytes) -> dict[str, Any]:
    members = read(_members, body)
    if members is None:
        raise RelayError("invalid_request", "The request body is not a JSON object.")
    known = {*BOUNDS, *COPIES}
    if any(name not in known and name.casefold() in known for name in members):
        raise RelayError("invalid_request", f"Write {', '.join((*BOUNDS, *COPIES))} in lower case.")
    return members


def _copies(members: Mapping[str, Any]) -> int:
    return max(_count_of(members, name) or 1 for name in COPIES)


def _count_of(members: Mapping[str, Any], name: str) -> int | None:
    """The member's value; None where it is absent or null. A negative one means without end to some upstreams."""
    if name not in members:
        return None
    try:
        count: int | None = _count.decode(bytes(members[name]))
    except msgspec.MsgspecError:
        count = 0
    if count is not None and not 1 <= count <= COUNT_MAX:
        raise RelayError("invalid_request", f"'{name}' must be a whole number from 1.", param=name)
    return count


def _too_large(name: str, ceiling: int) -> RelayError:
    message = f"This key may have {ceiling} tokens of output in one request."
    return RelayError("request_too_large_for_limit", message, param=name)
