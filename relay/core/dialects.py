"""What the routes' streams say: which frame is the last, which shows that the answer was finished, how an error is
told.

Sources: OpenAI's "Streaming API responses" (chat, completions: `[DONE]`; Responses: typed events), Anthropic's
"Streaming messages" (`message_stop`, `event: error`).
"""

from dataclasses import dataclass
from enum import Enum

import msgspec

from relay.core.sse import data_frame, data_of

DONE = b"data: [DONE]\n\n"


class Meaning(Enum):
    """What a frame tells about the stream's end."""

    MORE = 0
    TERMINAL = 1
    ERROR = 2


class _Typed(msgspec.Struct):
    type: object = None
    error: object = None


class _FailureError(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: object = None


class _Failure(msgspec.Struct):
    error: _FailureError = msgspec.field(default_factory=_FailureError)


_typed = msgspec.json.Decoder(_Typed)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One family of stream formats.

    `hints`: a batch of frames without any of them holds neither a terminal nor an error frame.
    """

    name: str
    hints: tuple[bytes, ...]
    terminal_types: frozenset[str] = frozenset()
    ends_with_done: bool = False
    closing: bytes = b""  # what we add for an upstream that finished its answer but not its stream
    finish_hints: tuple[bytes, ...] = ()  # a frame with one of these shows that the answer was finished

    def meaning(self, frame: bytes) -> Meaning:
        """Read one frame precisely; called only for frames with a hint."""
        data = data_of(frame)
        if self.ends_with_done and data.strip() == b"[DONE]":
            return Meaning.TERMINAL
        try:
            body = _typed.decode(data)
        except msgspec.MsgspecError:
            return Meaning.MORE
        if body.type in self.terminal_types:
            return Meaning.TERMINAL
        return Meaning.ERROR if body.error is not None or body.type == "error" else Meaning.MORE

    def shows_finish(self, batch: bytes) -> bool:
        """Whether a choice of the answer was finished in these frames."""
        return any(hint in batch for hint in self.finish_hints)

    def error_frame(self, code: str, message: str, type_: str, status: int | None = None) -> bytes:
        """The frame that makes this dialect's SDKs raise. `status`: what would have been the answer's status."""
        return data_frame(*_ERROR_SHAPES[self.name](code, message, type_, status))

    def wrapped_error(self, body: bytes, status: int) -> bytes:
        """The frame for an upstream's own error that came when the stream was open already."""
        return self.error_frame(*_upstream_error(body), status)


def _upstream_error(body: bytes) -> tuple[str, str, str]:
    """Code, message and type of an upstream's JSON error, as far as it follows the usual shape."""
    try:
        error = msgspec.json.decode(body, type=_Failure).error
    except msgspec.MsgspecError:
        error = _FailureError()
    code = error.code if isinstance(error.code, str) else "upstream_error"
    return code, error.message or "The upstream refused the request.", error.type or "upstream_error"


def _openai_error(code: str, message: str, type_: str, status: int | None) -> tuple[bytes, str]:
    return msgspec.json.encode({"error": _object(code, message, type_, status)}), ""


def _responses_error(code: str, message: str, type_: str, status: int | None) -> tuple[bytes, str]:
    """The typed event, with the `error` object in it, because openai-python raises on that member."""
    fields = {"type": "error", "code": code, "message": message, "param": None}
    return msgspec.json.encode({**fields, "error": _object(code, message, type_, status)}), "error"


def _anthropic_error(code: str, message: str, type_: str, status: int | None) -> tuple[bytes, str]:
    return msgspec.json.encode({"type": "error", "error": _object(code, message, type_, status)}), "error"


def _object(code: str, message: str, type_: str, status: int | None) -> dict[str, object]:
    fields: dict[str, object] = {"message": message, "type": type_, "param": None, "code": code}
    return fields if status is None else {**fields, "status": status}


_ERROR_SHAPES = {"openai": _openai_error, "responses": _responses_error, "anthropic": _anthropic_error}

OPENAI = Dialect(
    "openai",
    hints=(b"[DONE]", b'"error"'),
    ends_with_done=True,
    closing=DONE,
    finish_hints=(b'"finish_reason":"', b'"finish_reason": "'),
)
# Speech, transcription and image streams: a typed event closes the answer, and some servers add `[DONE]`.
MEDIA = Dialect(
    "openai",
    hints=(b"[DONE]", b'"error"'),
    ends_with_done=True,
    finish_hints=(
        b"speech.audio.done",
        b"transcript.text.done",
        b"image_generation.completed",
        b"image_edit.completed",
    ),
)
RESPONSES = Dialect(
    "responses",
    hints=(b"response.completed", b"response.failed", b"response.incomplete", b'"error"'),
    terminal_types=frozenset({"response.completed", "response.failed", "response.incomplete"}),
)
ANTHROPIC = Dialect("anthropic", hints=(b"message_stop", b'"error"'), terminal_types=frozenset({"message_stop"}))
