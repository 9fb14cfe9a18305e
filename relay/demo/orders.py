"""What a caller asked for, read from its JSON body."""

import json
from dataclasses import dataclass
from typing import Any

from relay.demo.models import Model, parse_model
from relay.demo.wire import Refused

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True)
class Order:
    """One request for an answer, named by `serial` and `created` (Unix seconds). `prompt_tokens` counts words."""

    body: dict[str, Any]
    model: str
    prompt_tokens: int
    serial: int
    created: int

    @property
    def streamed(self) -> bool:
        return self.body.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def tokens_max(self) -> int | None:
        limits = [self.body[name] for name in _LIMITS if type(self.body.get(name)) is int and self.body[name] > 0]
        return min(limits, default=None)

    def plan(self) -> Model:
        return parse_model(self.model).cut(self.tokens_max)


def read_order(body: bytes, serial: int, created: int) -> Order:
    """Raises Refused(400) where the body is not a JSON object that names its model."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise Refused(400, "The body is not valid JSON.") from problem
    if not isinstance(parsed, dict):
        raise Refused(400, "The body is not a JSON object.")
    model = parsed.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "You must provide a model parameter.")
    prompt = [parsed.get(name) for name in ("messages", "input", "prompt", "system", "instructions")]
    return Order(parsed, model[:200], _count_words(prompt), serial, created)


def _count_words(value: Any) -> int:
    """Words in all strings within; a list instead of recursion, for the nesting is the caller's choice."""
    words, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            words += len(item.split())
        elif isinstance(item, (list, dict)):
            waiting += item.values() if isinstance(item, dict) else item
    return words
