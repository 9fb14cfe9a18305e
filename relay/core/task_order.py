"""What a task's caller asks for, and the chat completion that is asked of the upstream for it."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from relay.core.errors import RelayError
from relay.core.reading import read
from relay.core.task_ids import read_task_id

DEFAULTS = {"temperature": 0.7, "max_tokens": 2000}


class TaskOrder(Struct, frozen=True):
    """The body of a POST of a task. `task_id`: "" where the relay chooses it; `retry`: run it again if need be."""

    prompt: str = ""
    messages: list[dict[str, Any]] = []
    model: str = ""
    temperature: float | int | None | UnsetType = UNSET
    max_tokens: int | None | UnsetType = UNSET
    task_id: str = ""
    retry: bool = False


MEMBERS = TaskOrder.__struct_fields__
_order = msgspec.json.Decoder(TaskOrder)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_order(body: bytes) -> TaskOrder:
    """Return what is asked for; the task's id as it is kept. Raises RelayError invalid_request."""
    unknown = sorted(set(read(_members, body) or ()) - set(MEMBERS))
    if unknown:
        raise _invalid(f"A task has no {', '.join(map(_quoted, unknown[:5]))}: it takes {', '.join(MEMBERS)}.")
    try:
        order = _order.decode(body)
    except msgspec.ValidationError as error:  # its text names the member and the types, never the value
        raise _invalid(f"The request body is not valid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _invalid("The request body is not a JSON object.") from None
    if bool(order.prompt) == bool(order.messages):
        raise _invalid("A task takes 'prompt' or 'messages', one of them.")
    return msgspec.structs.replace(order, task_id=_checked(order.task_id))


def upstream_body(order: TaskOrder, model: str) -> bytes:
    """The chat completion: streamed, with its usage; defaults only for what is absent."""
    messages = order.messages or [{"role": "user", "content": order.prompt}]
    asked = {name: getattr(order, name) for name in DEFAULTS if getattr(order, name) is not UNSET}
    return msgspec.json.encode(
        {
            "model": model,
            "messages": messages,
            **DEFAULTS,
            **asked,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def _checked(task_id: str) -> str:
    name = read_task_id(task_id)
    if task_id and name is None:
        raise _invalid("'task_id' is not a UUID.", "task_id")
    return name or ""


def _quoted(name: str) -> str:
    return repr(name[:32])


def _invalid(message: str, param: str | None = None) -> RelayError:
    return RelayError("invalid_request", message, param=param)
