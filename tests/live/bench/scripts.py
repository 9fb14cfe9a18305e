"""What an upstream may say: frames and whole answers as bytes, and ready scripts that say them."""

import itertools
import json
from collections.abc import Callable, Iterable

from tests.live.bench.conversation import Connection, Request
from tests.live.bench.wire import LAST_CHUNK, chunk

Script = Callable[[Connection], None]
Answer = Callable[[Connection, Request], None]

# The three framings of a body, each as the header line that announces it.
CHUNKED = "Transfer-Encoding: chunked"
CLOSE = "Connection: close"
DONE = b"data: [DONE]\n\n"


def length(count: int) -> str:
    return f"Content-Length: {count}"


def sse_head(framing: str = CHUNKED, *more: str, status: str = "200 OK") -> bytes:
    """The head of an event stream; `more` are whole header lines."""
    return _head(status, "Content-Type: text/event-stream", framing, *more)


def json_answer(value: object, *more: str, status: str = "200 OK") -> bytes:
    """A whole JSON answer with its length."""
    body = json.dumps(value).encode()
    return _head(status, "Content-Type: application/json", length(len(body)), *more) + body


def error_answer(status: str, code: str, *more: str) -> bytes:
    """An upstream's own error in OpenAI's shape."""
    error = {"message": f"the upstream says {code}", "type": "upstream_error", "param": None, "code": code}
    return json_answer({"error": error}, *more, status=status)


def chat_frame(text: str, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish_reason}
    return data_frame({**_ANSWER, "object": "chat.completion.chunk", "choices": [choice]})


def usage_frame(prompt_tokens: int, completion_tokens: int) -> bytes:
    usage = _usage(prompt_tokens, completion_tokens)
    return data_frame({**_ANSWER, "object": "chat.completion.chunk", "choices": [], "usage": usage})


def data_frame(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chat_stream(*texts: str) -> list[bytes]:
    """A whole stream: a frame for each text, the finish reason, [DONE]."""
    return [*map(chat_frame, texts), chat_frame("", "stop"), DONE]


def chat_completion(text: str) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {**_ANSWER, "object": "chat.completion", "choices": [choice], "usage": _usage(1, 1)}


def every_request(answer: Answer) -> Script:
    """Answer each request of a kept-alive connection in the same way."""

    def script(conn: Connection) -> None:
        while True:
            answer(conn, conn.read_request())

    return script


def answering(raw: bytes) -> Script:
    """These bytes to each request, whatever it asks; the connection stays open for the next."""
    return every_request(lambda conn, _: conn.send(raw))


def streaming(frames: Iterable[bytes], framing: str = CHUNKED) -> Script:
    """An event stream of these frames to each request, one send a frame, ended as its framing says."""
    pieces = list(frames)
    return every_request(lambda conn, _: send_stream(conn, pieces, framing))


def send_stream(conn: Connection, frames: list[bytes], framing: str = CHUNKED) -> None:
    conn.send(sse_head(framing))
    for frame in frames:
        conn.send(chunk(frame) if framing == CHUNKED else frame)
    if framing == CHUNKED:
        conn.send(LAST_CHUNK)
    if framing == CLOSE:
        conn.close()


def in_turn(*scripts: Script) -> Script:
    """The first connection gets the first script, and so on; the last one serves all that follow."""
    turns = itertools.chain(scripts, itertools.repeat(scripts[-1]))

    def script(conn: Connection) -> None:
        next(turns)(conn)

    return script


def _polite_answer(conn: Connection, request: Request) -> None:
    if request.method == "GET":
        conn.send(json_answer({"object": "list", "data": [{"id": "gpt-test", "object": "model"}]}))
    elif b'"stream":true' in request.body.replace(b" ", b""):
        send_stream(conn, chat_stream("Hello", " world"))
    else:
        conn.send(json_answer(chat_completion("Hello world")))


polite = every_request(_polite_answer)


def _head(status: str, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


_ANSWER = {"id": "chatcmpl-test", "created": 1, "model": "gpt-test"}
