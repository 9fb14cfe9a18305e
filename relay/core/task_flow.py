"""An upstream's answer as a task's progress: text becomes `progress` events, its end `complete` or `failed`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from relay.core.dialects import OPENAI, error_told
from relay.core.errors import IN_STREAM, error_object
from relay.core.flow import Ending, Flow
from relay.core.progress import Progress
from relay.core.scrub import Scrubber
from relay.core.sse import data_of, frames_in
from relay.core.text import text_in
from relay.core.usage import Usage

_ERROR_HINT = b'"error"'


@dataclass(frozen=True, slots=True)
class Telling:
    """What the last event tells beside the text. `begun_at`: on `clock`, seconds; `moment`: the present
    one, ISO 8601, UTC; `cost_usd`: None where the price is not known; `messages`: of errors by their codes, in the
    caller's language.
    """

    model: str
    begun_at: float
    clock: Callable[[], float]
    moment: Callable[[], str]
    cost_usd: Callable[[Usage], float | None]
    messages: Mapping[str, str]


class TaskFlow:
    """Reads what `inner` makes of the upstream's body, and hands out numbered events instead.

    `inner` speaks OpenAI's chat dialect; `code_points_max`: of the whole text. `scrubber`: what `inner` could not see,
    because it was escaped or came in two deltas, must not stand in the text either.
    """

    __slots__ = (
        "_code_points_max", "_ending", "_error", "_first_at", "_inner", "_length", "_progress", "_scrubber",
        "_telling", "_texts",
    )  # fmt: skip
    ping = b""

    def __init__(
        self, inner: Flow, scrubber: Scrubber, progress: Progress, telling: Telling, code_points_max: int
    ) -> None:
        self._inner, self._scrubber, self._progress, self._telling = inner, scrubber, progress, telling
        self._code_points_max = code_points_max
        self._texts: list[str] = []
        self._length, self._first_at = 0, 0.0
        self._error: dict[str, object] = {}
        self._ending: Ending | None = None

    @property
    def last_seq(self) -> int:
        return self._progress.last_seq

    @property
    def ends_with_its_body(self) -> bool:
        return self._inner.ends_with_its_body

    @property
    def surplus(self) -> bool:
        return self._inner.surplus

    @property
    def terminal(self) -> bytes:
        return self._inner.terminal

    @property
    def frames(self) -> int:
        return self._inner.frames

    @property
    def usage(self) -> Usage | None:
        return self._inner.usage

    @property
    def overflowed(self) -> bool:
        """Whether one of the upstream's frames, or the text as a whole, grew past its bound."""
        return self._inner.overflowed or self._length > self._code_points_max

    def feed(self, payload: bytes) -> bytes:
        return b"".join(map(self._told, frames_in(self._inner.feed(payload))))

    def verdict(self, *, body_ended: bool) -> Ending:
        return self._ended(self._inner.verdict(body_ended=body_ended))

    def broken(self, end: str, code: str) -> Ending:
        return self._ended(self._inner.broken(end, code))

    def _told(self, frame: bytes) -> bytes:
        data = data_of(frame)
        if _ERROR_HINT in data and OPENAI.is_error(data):
            self._error = {
                name: self._clean(value) if isinstance(value, str) else value
                for name, value in error_told(data).items()
            }
        text = self._clean(text_in(data))
        if not text:
            return b""
        self._first_at = self._first_at or self._telling.clock()
        self._texts.append(text)
        self._length += len(text)
        return self._progress.text(text, self._length)

    def _clean(self, text: str) -> str:
        return self._scrubber.whole(text.encode()).decode() if text else ""

    def _ended(self, ending: Ending) -> Ending:
        """The first ending counts: a task has one terminal event."""
        if self._ending is None:
            left = b"".join(map(self._told, frames_in(ending.last)))
            self._ending = replace(ending, last=left + self._last(ending))
        return self._ending

    def _last(self, ending: Ending) -> bytes:
        if ending.whole:
            return self._progress.complete(self._result())
        return self._progress.failed(in_language(self._error or error_in_stream(ending.code), self._telling.messages))

    def _result(self) -> dict[str, object]:
        telling, usage = self._telling, self.usage
        first_at = self._first_at
        return {
            "response": self._clean("".join(self._texts)),
            "progress": 100,
            "completed_at": telling.moment(),
            "usage": None if usage is None else usage_facts(usage),
            "cost_usd": None if usage is None else telling.cost_usd(usage),
            "model": telling.model,
            "duration_ms": _ms(telling.clock() - telling.begun_at),
            "ttft_ms": _ms(first_at - telling.begun_at) if first_at else None,
        }


def usage_facts(usage: Usage) -> dict[str, Any]:
    """Tokens as the upstream counted them."""
    total = usage.input_tokens + usage.output_tokens
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "total_tokens": total}


def error_in_stream(code: str) -> dict[str, object]:
    """The error object for what ended a task; an unknown code is a defect of ours."""
    code = code if code in IN_STREAM else "internal_error"
    return error_object(code, IN_STREAM[code], "stream_error")


def in_language(error: Mapping[str, object], messages: Mapping[str, str]) -> dict[str, object]:
    """The same error, its message in the caller's language where there is one."""
    return {**error, "message": messages.get(str(error["code"]), error["message"])}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
