"""From a request to the script that answers it: the route table, and the walk of a plain answer."""

from collections.abc import Callable
from typing import Any

from relay.demo.chat import ChatAnswer, CompletionAnswer
from relay.demo.dialect import Answer
from relay.demo.embeddings import embeddings
from relay.demo.faults.case import Case
from relay.demo.faults.table import FAULTS
from relay.demo.messages import MessagesAnswer
from relay.demo.models import LISTED, Model
from relay.demo.orders import Order, read_order
from relay.demo.responses import ResponsesAnswer
from relay.demo.script import CHUNKED, EVENT_STREAM, JSON, LAST_CHUNK, Pause, Script, chunk, encode, error, head, whole
from relay.demo.wire import Refused, Request

GENERATING: dict[str, Callable[[Order], Answer]] = {
    "/v1/chat/completions": ChatAnswer,
    "/v1/completions": CompletionAnswer,
    "/v1/responses": ResponsesAnswer,
    "/v1/messages": MessagesAnswer,
}
METHODS = dict.fromkeys([*GENERATING, "/v1/embeddings"], "POST") | {"/v1/models": "GET"}


def answer(request: Request, serial: int, created: int) -> Script:
    """The script for `request`; `serial` and `created` (Unix seconds) name what it makes. Raises Refused."""
    method = METHODS.get(request.path)
    if method is None:
        return error(404, f"There is no {request.path[:200]} here.", "route_not_found")
    if request.method != method:
        return error(405, f"Use {method} here.", "method_not_allowed", f"Allow: {method}", "Connection: close")
    if request.path == "/v1/models":
        return whole(200, encode(_models()), JSON)
    return _ordered(request, read_order(request.body, serial, created))


def _ordered(request: Request, order: Order) -> Script:
    model = order.plan()
    if request.path == "/v1/embeddings" and not model.fault:
        return whole(200, encode(embeddings(order)), JSON)
    dialect = GENERATING.get(request.path, ChatAnswer)(order)
    if model.fault:
        return _faulty(request, order, model, dialect)
    return _streamed(dialect, model) if order.streamed else _at_once(dialect, model)


def _streamed(dialect: Answer, model: Model) -> Script:
    yield Pause(model.first_seconds)
    yield head(200, EVENT_STREAM, "Cache-Control: no-cache", CHUNKED)
    for frame in dialect.opening():
        yield chunk(frame)
    for number in range(model.tokens):
        yield Pause(model.interval_seconds if number else 0)
        yield chunk(dialect.delta(model.delta(number)))
    *closing, terminal = dialect.closing(model.finish)
    for frame in closing:
        yield chunk(frame)
    yield chunk(terminal) + LAST_CHUNK  # together: a caller may hang up on the terminal frame


def _at_once(dialect: Answer, model: Model) -> Script:
    """The whole answer, after the time that streaming it would take."""
    yield Pause(model.first_seconds)
    texts = []
    for number in range(model.tokens):
        yield Pause(model.interval_seconds if number else 0)
        texts.append(model.delta(number))
    yield from whole(200, encode(dialect.whole(texts, model.finish)), JSON)


def _faulty(request: Request, order: Order, model: Model, dialect: Answer) -> Script:
    fault = FAULTS.get(model.fault)
    if fault is None:
        raise Refused(404, f"No fault is called {model.fault[:100]}; there are: {', '.join(sorted(FAULTS))}.")
    begun, ended = _pieces(order, model, dialect)
    case = Case(request, dialect, EVENT_STREAM if order.streamed else JSON, begun, ended, model.interval_seconds)
    return _delayed(model.first_seconds, fault(case))


def _delayed(seconds: float, script: Script) -> Script:
    yield Pause(seconds)
    yield from script


def _pieces(order: Order, model: Model, dialect: Answer) -> tuple[list[bytes], list[bytes]]:
    """What comes before the finish and what finishes: frames, or the two halves of a JSON body."""
    texts = [model.delta(number) for number in range(min(model.tokens, 10_000))]
    if order.streamed:
        return [*dialect.opening(), *map(dialect.delta, texts)], dialect.closing(model.finish)
    body = encode(dialect.whole(texts, model.finish))
    return [body[: len(body) // 2]], [body[len(body) // 2 :]]


def _models() -> dict[str, Any]:
    data = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "relay-demo"} for name in LISTED]
    return {"object": "list", "data": data}
