"""What an answer cost: the upstream's own `usage`, read from a JSON body or from a frame. Never a guess."""

from dataclasses import dataclass

import msgspec

# A usage that says something; some servers send `"usage":null` with every chunk.
USAGE_HINTS = (b'"usage":{', b'"usage": {')


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the upstream counted them."""

    input_tokens: int = 0
    output_tokens: int = 0

    def merged(self, later: "Usage") -> "Usage":
        """Later figures replace earlier ones; Anthropic tells the input first and the output at the end."""
        return Usage(later.input_tokens or self.input_tokens, later.output_tokens or self.output_tokens)


class _Counts(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Holder(msgspec.Struct):
    usage: _Counts | None = None


class _Body(msgspec.Struct):
    usage: _Counts | None = None
    message: _Holder | None = None
    response: _Holder | None = None


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw]
    usage: _Counts | None = None


_decoder = msgspec.json.Decoder(_Body)
_chunk_decoder = msgspec.json.Decoder(_Chunk)


def usage_in(data: bytes) -> Usage | None:
    """Return the usage within one JSON text (chat, completions, embeddings, responses, messages), or None."""
    try:
        body = _decoder.decode(data)
    except msgspec.MsgspecError:
        return None
    for holder in (body, body.response, body.message):
        if holder is not None and holder.usage is not None:
            counts = holder.usage
            return Usage(
                counts.prompt_tokens or counts.input_tokens or 0,
                counts.completion_tokens or counts.output_tokens or 0,
            )
    return None


def is_usage_only(data: bytes) -> bool:
    """Whether a chunk carries nothing but the usage. A client that did not ask may fail on its empty `choices`."""
    try:
        chunk = _chunk_decoder.decode(data)
    except msgspec.MsgspecError:
        return False
    return not chunk.choices and chunk.usage is not None


def cost_usd(usage: Usage, input_usd_per_million: float, output_usd_per_million: float) -> float:
    """US dollars for this usage at these prices."""
    return (usage.input_tokens * input_usd_per_million + usage.output_tokens * output_usd_per_million) / 1_000_000
