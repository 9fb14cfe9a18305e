"""Bodies and events of /v1/messages (Anthropic API reference, streaming messages)."""

from typing import Any

from relay.demo.orders import Order
from relay.demo.script import error_body, event

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens"}


class MessagesAnswer:
    """One message; counts the deltas that it made."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._made = 0

    def opening(self) -> list[bytes]:
        message = self._message([], None, made=0)
        block = {"type": "text", "text": ""}
        return [
            _typed("message_start", message=message),
            _typed("content_block_start", index=0, content_block=block),
            _typed("ping"),
        ]

    def delta(self, text: str) -> bytes:
        self._made += 1
        return _typed("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def closing(self, finish: str) -> list[bytes]:
        reason = {"stop_reason": _STOP_REASONS[finish], "stop_sequence": None}
        return [
            _typed("content_block_stop", index=0),
            _typed("message_delta", delta=reason, usage={"output_tokens": self._made}),
            _typed("message_stop"),
        ]

    def whole(self, texts: list[str], finish: str) -> dict[str, Any]:
        return self._message([{"type": "text", "text": "".join(texts)}], _STOP_REASONS[finish], len(texts))

    def error_frame(self, message: str) -> bytes:
        return event(error_body(message, "api_error", 500), "error")

    def _message(self, content: list[dict[str, Any]], stop_reason: str | None, made: int) -> dict[str, Any]:
        return {
            "id": f"msg_demo{self._order.serial}",
            "type": "message",
            "role": "assistant",
            "model": self._order.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": self._order.prompt_tokens, "output_tokens": made},
        }


def _typed(name: str, **fields: Any) -> bytes:
    return event({"type": name, **fields}, name)
