"""Event streams that no server would send, always the same: any lines, any line ends, any number of blank lines."""

import random

from tests.core.streams import BOM, LINE_ENDS

_LINES = [
    b"data: 1", b"data:2", b"data:  3", b"data", b"data: {}", b"id: 1", b"id", b"id:\0", b"id: \xc3\xa4", b"retry: 5",
    b"retry: x", b"retry:", b"retry: 07", b"retry: 1.5", b"event: ping", b"event", b": c", b":", b"foo: bar", b"dat",
    BOM, BOM + b"data: 4", b"data: \xe2\x80\xa8", b"data: \xff", b"", b"", b"", b"",
]  # fmt: skip


def soup(count: int = 30) -> dict[str, bytes]:
    """By name; each ends with a blank line."""
    chance = random.Random(20)
    return {f"soup {number}": _one(chance) for number in range(count)}


def _one(chance: random.Random) -> bytes:
    lines = (chance.choice(_LINES) + chance.choice(LINE_ENDS) for _ in range(chance.randrange(24)))
    return b"".join(lines) + b"\n\n"
