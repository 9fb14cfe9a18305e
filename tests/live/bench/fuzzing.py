"""Mutated bytes from a seed: the same seed and number always make the same ones.

`FUZZ_SEED` and `FUZZ_COUNT` choose others; `FUZZ_FIRST` is the number of the first, to run a single one again.
"""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SEED = 20_260_101
SHOWN_BYTES_MAX = 600
Mutate = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


@dataclass(frozen=True)
class Plan:
    """Which mutations a run makes."""

    seed: int
    first: int
    count: int

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.count)

    def chance(self, number: int) -> random.Random:
        return random.Random(f"{self.seed}/{number}")

    def __str__(self) -> str:
        return f"FUZZ_SEED={self.seed} FUZZ_FIRST={self.first} FUZZ_COUNT={self.count}"


def plan(count: int) -> Plan:
    """As the environment says, else that many of the fixed seed."""
    given = os.environ.get
    return Plan(int(given("FUZZ_SEED", SEED)), int(given("FUZZ_FIRST", 0)), int(given("FUZZ_COUNT", count)))


def mutated(chance: random.Random, raw: bytes, dictionary: Sequence[bytes]) -> bytes:
    """The bytes after one to four mutations."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        raw = chance.choice(MUTATIONS)(chance, raw, dictionary)
    return raw


def _flip(chance: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(chance, raw)
    return raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :] if raw else raw


def _replace(chance: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(chance, raw)
    return raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]


def _insert(chance: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(chance, raw)
    return raw[:at] + chance.randbytes(chance.choice((1, 1, 2, 8, 64))) + raw[at:]


def _insert_word(chance: random.Random, raw: bytes, dictionary: Sequence[bytes]) -> bytes:
    at = _place(chance, raw)
    return raw[:at] + chance.choice(dictionary) + raw[at:]


def _insert_line(chance: random.Random, raw: bytes, dictionary: Sequence[bytes]) -> bytes:
    """Where a line ends, so that it stands there as a line of its own."""
    ends = [at + 2 for at in range(len(raw) - 1) if raw[at : at + 2] == b"\r\n"]
    at = chance.choice(ends) if ends else len(raw)
    return raw[:at] + chance.choice(dictionary) + b"\r\n" + raw[at:]


def _cut(chance: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    start = _place(chance, raw)
    return raw[:start] + raw[start + chance.choice((1, 1, 2, 5, 20, 100)) :]


def _end(chance: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw[: _place(chance, raw)]


def _repeat(chance: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    start = _place(chance, raw)
    piece = raw[start : start + chance.choice((1, 2, 10, 50, 200))]
    return raw[:start] + piece * chance.choice((2, 2, 3, 50)) + raw[start + len(piece) :]


def _swap(chance: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    one, other, third = sorted(_place(chance, raw) for _ in range(3))
    return raw[:one] + raw[other:third] + raw[one:other] + raw[third:]


def _line_end(chance: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw.replace(
        b"\r\n", chance.choice((b"\n", b"\r", b"\r\r\n", b"\r\n\r\n", b"\0\r\n")), chance.choice((1, 2, -1))
    )


MUTATIONS: tuple[Mutate, ...] = (
    _flip, _flip, _replace, _insert, _insert_word, _insert_word, _insert_line, _cut, _end, _repeat, _swap, _line_end,
)  # fmt: skip


def kept(directory: Path, plan: Plan, number: int, raw: bytes, complaint: str) -> str:
    """Keep the offending bytes in a file; return what to tell, and how to run it again."""
    path = directory / f"fuzz-{plan.seed}-{number}.bin"
    path.write_bytes(raw)
    again = f"FUZZ_SEED={plan.seed} FUZZ_FIRST={number} FUZZ_COUNT=1"
    return f"{complaint}\n  again: {again}; bytes in {path}: {raw[:SHOWN_BYTES_MAX]!r}"


def _place(chance: random.Random, raw: bytes) -> int:
    return chance.randrange(len(raw)) if raw else 0
