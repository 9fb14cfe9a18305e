"""What the routes' streams say: which frame is the last, which shows that the answer was finished, how an error is
told.

Sources: OpenAI's "Streaming API responses" (chat, completions: `[DONE]`; Responses: typed events), Anthropic's
"Streaming messages" (`message_stop`, `event: error`).
"""

from dataclasses import dataclass
from enum import Enum

import msgspec

from relay.core.reading import read
from relay.core.sse import data_frame, data_of

DONE = b"data: [DONE]\n\n"


class Meaning(Enum):
    """What a frame tells about the stream's end."""

    MORE = 0
    TERMINAL = 1
    ERROR = 2
    FINISH = 3  # the answer is complete, the stream not yet


class _Choice(msgspec.Struct):
    finish_reason: object = None


class _Read(msgspec.Struct):
    """What counts in a frame; members of other types must not hide one another."""

    type: object = None
    error: object = None
    choices: msgspec.Raw = msgspec.Raw()


class _FailureError(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: object = None


class _Failure(msgspec.Struct):
    error: _FailureError = msgspec.field(default_factory=_FailureError)


_frame = msgspec.json.Decoder(_Read)
_choices = msgspec.json.Decoder(list[_Choice])
_failure = msgspec.json.Decoder(_Failure)


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
    error_types: frozenset[str] = frozenset()
    finish_types: frozenset[str] = frozenset()  # typed events that show that the answer was finished

    def meaning(self, frame: bytes) -> Meaning:
        """Read one frame precisely; called only for frames with a hint."""
        data = data_of(frame)
        if self.ends_with_done and data.strip() == b"[DONE]":
            return Meaning.TERMINAL
        body = read(_frame, data)
        if body is None:
            return Meaning.MORE
        kind = body.type if isinstance(body.type, str) else ""
        if body.error or kind in self.error_types:
            return Meaning.ERROR
        if kind in self.terminal_types:
            return Meaning.TERMINAL
        return Meaning.FINISH if kind in self.finish_types or _has_finished(body) else Meaning.MORE

    def error_frame(self, code: str, message: str, type_: str, status: int | None = None) -> bytes:
        """The frame that makes this dialect's SDKs raise. `status`: what would have been the answer's status."""
        return data_frame(*_ERROR_SHAPES[self.name](code, message, type_, status))

    def is_error(self, body: bytes) -> bool:
        """Whether a JSON answer is an error, whatever its status said."""
        answer = read(_frame, body)
        return answer is not None and bool(answer.error)

    def wrapped_error(self, body: bytes, status: int) -> bytes:
        """The frame for an upstream's own error that came when the stream was open already."""
        return self.error_frame(*_upstream_error(body), status)


def error_told(body: bytes) -> dict[str, object]:
    """The error object in a frame's data or a JSON answer, ours or an upstream's own, in OpenAI's shape."""
    return _object(*_upstream_error(body), None)


def _has_finished(body: _Read) -> bool:
    """Whether a choice of the answer is finished."""
    return any(choice.finish_reason for choice in read(_choices, bytes(body.choices)) or ())


def _upstream_error(body: bytes) -> tuple[str, str, str]:
    """Code, message and type of an upstream's JSON error, as far as it follows the usual shape."""
    failure = read(_failure, body)
    error = _FailureError() if failure is None else failure.error
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
    hints=(b"[DONE]", b'"error"', b'"finish_reason":"', b'"finish_reason": "'),
    ends_with_done=True,
    closing=DONE,
)
# Speech, transcription and image streams: a typed event closes the answer, and some servers add `[DONE]`.
_MEDIA_ENDS = frozenset(
    {"speech.audio.done", "transcript.text.done", "image_generation.completed", "image_edit.completed"}
)
MEDIA = Dialect(
    "openai",
    hints=(b"[DONE]", b'"error"', *(name.encode() for name in sorted(_MEDIA_ENDS))),
    ends_with_done=True,
    finish_types=_MEDIA_ENDS,
)
RESPONSES = Dialect(
    "responses",
    hints=(b"response.completed", b"response.failed", b"response.incomplete", b'"error"'),
    terminal_types=frozenset({"response.completed", "response.failed", "response.incomplete"}),
    error_types=frozenset({"error"}),
)
ANTHROPIC = Dialect(
    "anthropic",
    hints=(b"message_stop", b'"error"'),
    terminal_types=frozenset({"message_stop"}),
    error_types=frozenset({"error"}),
)
