"""What an answer cost: the upstream's own `usage`, read from a JSON body or from a frame. Never a guess."""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from relay.core.reading import read

# A usage that says something; some servers send `"usage":null` with every chunk.
USAGE_HINTS = (b'"usage":{', b'"usage": {')
# No answer has more tokens; and 9 million such rows still have a sum that fits into 64 bits.
TOKENS_MAX = 10**12


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the upstream counted them."""

    input_tokens: int = 0
    output_tokens: int = 0

    def merged(self, later: "Usage") -> "Usage":
        """Later figures replace earlier ones; Anthropic tells the input first and the output at the end."""
        return Usage(later.input_tokens or self.input_tokens, later.output_tokens or self.output_tokens)


_Count = Annotated[int, msgspec.Meta(ge=0, le=TOKENS_MAX)]


class _Counts(msgspec.Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None

    def as_usage(self) -> Usage | None:
        input_tokens = self.input_tokens if self.prompt_tokens is None else self.prompt_tokens
        output_tokens = self.output_tokens if self.completion_tokens is None else self.completion_tokens
        if input_tokens is None and output_tokens is None:
            return None
        return Usage(input_tokens or 0, output_tokens or 0)


class _Holder(msgspec.Struct):
    """Raw members: one of another type must not hide the others."""

    usage: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw]
    usage: dict[str, msgspec.Raw] | None = None
    error: msgspec.Raw = msgspec.Raw()


_counts = msgspec.json.Decoder(_Counts)
_holder = msgspec.json.Decoder(_Holder)
_chunk = msgspec.json.Decoder(_Chunk)


def usage_in(text: bytes) -> Usage | None:
    """Return the usage within one JSON text (chat, completions, embeddings, responses, messages), or None."""
    body = read(_holder, text)
    if body is None:
        return None
    return _usage_of(body) or _within(body.response) or _within(body.message)


def is_usage_only(text: bytes) -> bool:
    """Whether a chunk carries nothing but the usage. A client that did not ask may fail on its empty `choices`."""
    chunk = read(_chunk, text)
    return chunk is not None and not chunk.choices and chunk.usage is not None and bytes(chunk.error) in (b"", b"null")


def cost_usd(usage: Usage, input_usd_per_million: float, output_usd_per_million: float) -> float:
    """US dollars for this usage at these prices."""
    return (usage.input_tokens * input_usd_per_million + usage.output_tokens * output_usd_per_million) / 1_000_000


def _usage_of(body: _Holder) -> Usage | None:
    counts = read(_counts, bytes(body.usage))
    return None if counts is None else counts.as_usage()


def _within(raw: msgspec.Raw) -> Usage | None:
    body = read(_holder, bytes(raw))
    return None if body is None else _usage_of(body)
