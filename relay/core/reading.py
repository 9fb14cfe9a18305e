"""Reads JSON from strangers: what cannot be read is None, never a failure of ours."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def read(decoder: "msgspec.json.Decoder[T]", text: bytes) -> T | None:
    """Return what `decoder` makes of `text`, or None where it is not that: no JSON, other types, no UTF-8, too deep."""
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
