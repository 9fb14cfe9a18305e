"""An answer as a script: the bytes to send, the pauses between them, and how it ends. Pure: connection.py plays it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True)
class Pause:
    """Wait until `seconds` after the previous pause was due, so that a paced stream does not drift."""

    seconds: float


class End(Enum):
    """How a script ends the connection; one that merely runs out leaves it open for the next request."""

    CLOSE = "close"
    RESET = "reset"


Step = bytes | Pause | End
Script = Iterator[Step]

LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"
EVENT_STREAM = "Content-Type: text/event-stream; charset=utf-8"
JSON = "Content-Type: application/json"

_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def head(status: int, *headers: str) -> bytes:
    """An HTTP/1.1 response head (RFC 9112, 4)."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unnamed"
    return ("\r\n".join([f"HTTP/1.1 {status} {phrase}", *headers]) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def event(data: dict[str, Any], name: str = "") -> bytes:
    """One SSE frame; `name` is its `event:` line (WHATWG HTML, 9.2)."""
    first = f"event: {name}\n".encode() if name else b""
    return first + b"data: " + encode(data) + b"\n\n"


def whole(status: int, body: bytes, *headers: str) -> Script:
    """A complete answer with its length; `headers` must name the type."""
    yield head(status, *headers, f"Content-Length: {len(body)}") + body


def error(status: int, message: str, code: str, *headers: str) -> Script:
    """The OpenAI error shape; the outer `type` makes it Anthropic's as well."""
    return whole(status, encode(error_body(message, code, status)), JSON, *headers)


def error_body(message: str, code: str, status: int) -> dict[str, Any]:
    kind = _KINDS.get(status, "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error")
    return {"type": "error", "error": {"message": message, "type": kind, "param": None, "code": code}}


def chunks(pieces: Iterable[bytes], interval_seconds: float = 0.0) -> Script:
    """Each piece as its own chunk and its own send, `interval_seconds` apart."""
    for number, piece in enumerate(pieces):
        if number:
            yield Pause(interval_seconds)
        yield chunk(piece)
