"""A task that was accepted: all that whoever runs it needs to know, in this process or in another."""

from collections.abc import Mapping

import msgspec

from relay.core import german
from relay.core.caller import Caller


class PlacedTask(msgspec.Struct, frozen=True):
    """`body`: the upstream's; `headers`: of the caller's, what may go there; `placed_at`: UTC epoch seconds.

    `language`: en or de. `retry`: it may be run again where a worker was lost with it.
    """

    id: str
    caller: Caller
    model: str
    body: bytes
    language: str
    headers: dict[str, str]
    request_id: str
    origin: str | None
    placed_at: float
    retry: bool = False


def messages_in(language: str) -> Mapping[str, str]:
    """What errors say, by their codes; empty where they say it already."""
    return {**german.MESSAGES, **german.IN_STREAM} if language == "de" else {}
