"""Bodies and frames of /v1/chat/completions and its elder, /v1/completions (OpenAI API reference)."""

from typing import Any

from relay.demo.orders import Order
from relay.demo.script import error_body, event

DONE = b"data: [DONE]\n\n"


class ChatAnswer:
    """One chat completion; counts the deltas that it made."""

    whole_object = "chat.completion"
    frame_object = "chat.completion.chunk"
    id_prefix = "chatcmpl"

    def __init__(self, order: Order) -> None:
        self._order = order
        self._made = 0

    def opening(self) -> list[bytes]:
        return []

    def delta(self, text: str) -> bytes:
        choice = self._piece(text)
        self._made += 1
        return self._frame([choice])

    def closing(self, finish: str) -> list[bytes]:
        """The finishing frame, the usage where it was asked for, and [DONE]."""
        usage = {"usage": self._usage(self._made)}
        counted = [event(self._base(self.frame_object) | {"choices": []} | usage)] if self._order.wants_usage else []
        return [self._frame([self._finish(finish)]), *counted, DONE]

    def whole(self, texts: list[str], finish: str) -> dict[str, Any]:
        choice = self._complete("".join(texts), finish)
        return self._base(self.whole_object) | {"choices": [choice], "usage": self._usage(len(texts))}

    def error_frame(self, message: str) -> bytes:
        return event({"error": error_body(message, "server_error", 500)["error"]})

    def _piece(self, text: str) -> dict[str, Any]:
        role = {} if self._made else {"role": "assistant"}
        return {"index": 0, "delta": role | {"content": text}, "logprobs": None, "finish_reason": None}

    def _finish(self, reason: str) -> dict[str, Any]:
        return {"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}

    def _complete(self, text: str, finish: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}

    def _base(self, kind: str) -> dict[str, Any]:
        order, name = self._order, f"{self.id_prefix}-demo{self._order.serial}"
        return {"id": name, "object": kind, "created": order.created, "model": order.model}

    def _frame(self, choices: list[dict[str, Any]]) -> bytes:
        usage = {"usage": None} if self._order.wants_usage else {}
        return event(self._base(self.frame_object) | {"choices": choices} | usage)

    def _usage(self, made: int) -> dict[str, int]:
        prompt = self._order.prompt_tokens
        return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


class CompletionAnswer(ChatAnswer):
    """One text completion: the same walk with plain text in its choices."""

    whole_object = "text_completion"
    frame_object = "text_completion"
    id_prefix = "cmpl"

    def _piece(self, text: str) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": None}

    def _finish(self, reason: str) -> dict[str, Any]:
        return self._piece("") | {"finish_reason": reason}

    def _complete(self, text: str, finish: str) -> dict[str, Any]:
        return self._piece(text) | {"finish_reason": finish}
