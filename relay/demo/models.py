"""What each model name means: how many words, how fast, and which fault."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

LISTED = ("demo", "demo-slow")
TEXT_BYTES_MAX = 67_108_864  # one answer; the demo may run inside the relay's own process
SECONDS_MAX = 3_600.0

ANSWER = (
    "Hello! I am the demo model that is built into the relay, so no key was needed for this answer. "
    "A relay stands between your app and a language model: it checks your own key, keeps the provider's key secret, "
    "and hands you every word the moment it is made. When you leave, it stops the work at once. "
    "Set OPENAI_API_KEY, start the relay again, and the same call reaches a real model."
)
_WORDS: list[str] = re.findall(r"\S+\s*", ANSWER)
_NAME = re.compile(r"(mock|fault-[a-z0-9-]+?)((?:-[nisd]\d{1,12})*)")
_KNOB = re.compile(r"-([nisd])(\d+)")
_KNOBS = {"mock": {"n": 10, "i": 0, "s": 20, "d": 0}, "fault": {"n": 3, "i": 0, "s": 20, "d": 0}}


@dataclass(frozen=True)
class Model:
    """How a model answers: `tokens` deltas, each made by `delta(number)` when it is due."""

    tokens: int
    delta: Callable[[int], str]
    first_seconds: float
    interval_seconds: float
    fault: str = ""
    finish: str = "stop"

    def cut(self, tokens_max: int | None) -> "Model":
        """The same model, which stops at `tokens_max` with the reason "length"."""
        if tokens_max is None or tokens_max >= self.tokens:
            return self
        return replace(self, tokens=tokens_max, finish="length")


def parse_model(name: str, clock_ns: Callable[[], int] = time.monotonic_ns) -> Model:
    """The model called `name`; an unknown name answers like `demo`. `clock_ns` stamps each frame of mock and fault."""
    if name == "demo-slow":
        return Model(len(_WORDS), _word, first_seconds=2.0, interval_seconds=0.2)
    found = _NAME.fullmatch(name)
    if not found:
        return Model(len(_WORDS), _word, first_seconds=0.2, interval_seconds=0.03)
    kind, _, fault = found[1].partition("-")
    turned = {knob: int(value) for knob, value in _KNOB.findall(found[2])}
    return _made_to_measure(fault, _KNOBS[kind] | turned, clock_ns)


def _made_to_measure(fault: str, knobs: dict[str, int], clock_ns: Callable[[], int]) -> Model:
    size = min(knobs["s"], TEXT_BYTES_MAX // 8)
    filler = "x" * size
    return Model(
        tokens=min(knobs["n"], TEXT_BYTES_MAX // (size + 40)),
        delta=lambda number: f"@t{clock_ns()}:{number}:{filler}",
        first_seconds=min(knobs["d"] / 1e6, SECONDS_MAX),
        interval_seconds=min(knobs["i"] / 1e6, SECONDS_MAX),
        fault=fault,
    )


def _word(number: int) -> str:
    return _WORDS[number]
