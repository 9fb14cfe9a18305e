"""What an answer says, as plain text: chat, completions, Responses and messages, streamed or not."""

import msgspec

from relay.core.reading import read
from relay.core.sse import data_of, frames_in


class _Content(msgspec.Struct):
    content: object = None


class _Choice(msgspec.Struct):
    delta: _Content | None = None
    message: _Content | None = None
    text: object = None


class _Text(msgspec.Struct):
    text: object = None


class _Item(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct):
    """Raw members: one of another type must not hide the others."""

    type: object = None
    choices: msgspec.Raw = msgspec.Raw()
    delta: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()


_answer = msgspec.json.Decoder(_Answer)
_choices = msgspec.json.Decoder(list[_Choice])
_text = msgspec.json.Decoder(_Text)
_texts = msgspec.json.Decoder(list[_Text])
_items = msgspec.json.Decoder(list[_Item])
_plain = msgspec.json.Decoder(str)


def text_of(data: bytes, *, is_stream: bool) -> str:
    """Return the text in whole frames, or in one JSON answer."""
    if not is_stream:
        return text_in(data)
    return "".join(text_in(data_of(frame)) for frame in frames_in(data))


def text_in(data: bytes) -> str:
    """Return the text in one JSON object: a chunk's delta, or a whole answer; "" where there is none.

    Of several choices the first. Sources: OpenAI's chat, completions and Responses streams
    (`response.output_text.delta`), Anthropic's messages (`content_block_delta`).
    """
    answer = read(_answer, data)
    if answer is None:
        return ""
    choices = read(_choices, bytes(answer.choices))
    if choices:
        return _of_choice(choices[0])
    if answer.type == "response.output_text.delta":
        return read(_plain, bytes(answer.delta)) or ""
    if answer.type == "content_block_delta":
        delta = read(_text, bytes(answer.delta))
        return _if_text(delta.text) if delta else ""
    items = read(_items, bytes(answer.output)) or ()
    return _of_blocks(answer.content) + "".join(_of_blocks(item.content) for item in items)


def _of_blocks(content: msgspec.Raw) -> str:
    blocks = read(_texts, bytes(content))
    return "".join(_if_text(block.text) for block in blocks or ())


def _of_choice(choice: _Choice) -> str:
    for part in (choice.delta, choice.message):
        if part is not None:
            return _if_text(part.content)
    return _if_text(choice.text)


def _if_text(value: object) -> str:
    return value if isinstance(value, str) else ""
