"""One request in the ledger: who, what, how much. Never a prompt, an answer or a key."""

import re
from collections.abc import Mapping
from typing import Protocol

import msgspec

from relay.core.keys import CHECKSUM_CHARACTERS, PREFIX, RANDOM_CHARACTERS
from relay.core.usage import Usage

TEXT_CHARACTERS_MAX = 256
_KEY = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARACTERS + CHECKSUM_CHARACTERS}}}")


class Entry(msgspec.Struct, frozen=True):
    """A row of the ledger; a struct, for there is one a request.

    `begun_at`: UTC epoch seconds; None is what is not known, and stays unknown.
    """

    request_id: str
    key_id: str
    route: str
    model: str | None
    upstream: str | None
    status: int
    end: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    begun_at: float
    duration_ms: float
    ttft_ms: float | None
    bytes_out: int
    frames_out: int


class Told(Protocol):
    """A request as it was measured."""

    request_id: str
    route: str
    model: str | None
    upstream: str | None
    status: int
    end: str
    bytes_out: int
    frames_out: int
    usage: Usage | None


def entry_of(
    told: Told, key_id: str, cost_usd: float | None, ended_at: float, times: Mapping[str, float | None]
) -> Entry:
    """Return the request's row: of what the caller or the upstream chose, only what every database can hold.

    `ended_at`: UTC epoch seconds; `times`: its `duration_ms`, and its `ttft_ms` or None.
    """
    duration_ms = times["duration_ms"] or 0.0
    return Entry(
        request_id=shown(told.request_id),
        key_id=key_id,
        route=told.route,
        model=None if told.model is None else shown(told.model),
        upstream=told.upstream,
        status=told.status,
        end=told.end,
        input_tokens=None if told.usage is None else told.usage.input_tokens,
        output_tokens=None if told.usage is None else told.usage.output_tokens,
        cost_usd=cost_usd,
        begun_at=ended_at - duration_ms / 1000,
        duration_ms=duration_ms,
        ttft_ms=times["ttft_ms"],
        bytes_out=told.bytes_out,
        frames_out=told.frames_out,
    )


def shown(text: str) -> str:
    """Short, printable (no NUL for PostgreSQL, no escape sequence for a terminal), and without a key sent as a name."""
    if PREFIX in text:
        text = _KEY.sub(f"{PREFIX}…", text)
    text = text[:TEXT_CHARACTERS_MAX]
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
