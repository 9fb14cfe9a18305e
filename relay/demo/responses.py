"""Bodies and events of /v1/responses, in the official order (OpenAI API reference, Responses streaming events)."""

from typing import Any

from relay.demo.orders import Order
from relay.demo.script import event

_AT = {"output_index": 0, "content_index": 0}
_FIXED: dict[str, Any] = {
    "error": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}


class ResponsesAnswer:
    """One response; numbers its events and keeps its text, which the done events repeat."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._item_id = f"msg_demo{order.serial}"
        self._sequence_number = 0
        self._texts: list[str] = []

    def opening(self) -> list[bytes]:
        item = self._item("in_progress", [])
        return [
            self._event("response.created", response=self._response("in_progress")),
            self._event("response.in_progress", response=self._response("in_progress")),
            self._event("response.output_item.added", output_index=0, item=item),
            self._event("response.content_part.added", item_id=self._item_id, **_AT, part=_part("")),
        ]

    def delta(self, text: str) -> bytes:
        self._texts.append(text)
        return self._event("response.output_text.delta", item_id=self._item_id, **_AT, delta=text, logprobs=[])

    def closing(self, finish: str) -> list[bytes]:
        """The done events and the terminal one: response.completed, or response.incomplete at the length limit."""
        text, response = "".join(self._texts), self.whole(self._texts, finish)
        return [
            self._event("response.output_text.done", item_id=self._item_id, **_AT, text=text, logprobs=[]),
            self._event("response.content_part.done", item_id=self._item_id, **_AT, part=_part(text)),
            self._event("response.output_item.done", output_index=0, item=response["output"][0]),
            self._event(f"response.{response['status']}", response=response),
        ]

    def whole(self, texts: list[str], finish: str) -> dict[str, Any]:
        status = "incomplete" if finish == "length" else "completed"
        item = self._item(status, [_part("".join(texts))])
        return self._response(status) | {"output": [item], "usage": self._usage(len(texts))}

    def error_frame(self, message: str) -> bytes:
        return self._event("error", code="server_error", message=message, param=None)

    def _event(self, name: str, **fields: Any) -> bytes:
        numbered = {"type": name, **fields, "sequence_number": self._sequence_number}
        self._sequence_number += 1
        return event(numbered, name)

    def _response(self, status: str) -> dict[str, Any]:
        order = self._order
        return {
            "id": f"resp_demo{order.serial}",
            "object": "response",
            "created_at": order.created,
            "status": status,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "max_output_tokens": order.tokens_max,
            "model": order.model,
            "output": [],
            "usage": None,
            **_FIXED,
        }

    def _item(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _usage(self, made: int) -> dict[str, Any]:
        prompt = self._order.prompt_tokens
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + made,
        }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
