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


class _Error(msgspec.Struct):
    code: object = None


class _Refusal(msgspec.Struct):
    error: _Error


_refusal = msgspec.json.Decoder(_Refusal)


def error_code(text: bytes) -> str:
    """Return the code of the error that this JSON text tells (`{"error":{"code"}}`), or "" where it tells none."""
    refusal = read(_refusal, text)
    code = None if refusal is None else refusal.error.code
    return code if isinstance(code, str) else ""
