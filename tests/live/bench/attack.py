"""Hostile requests as bytes, how one is fired, and what must hold whatever it was."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.scripts import chat_completion, json_answer

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"
LIVE = "/health/live"
UPLOAD = "/v1/audio/transcriptions"
SMUGGLED = b"smuggled-canary"  # stands in whatever must neither be taken for a request nor be passed on
ANSWER_SECONDS_MAX = 8.0
FRONT_SECONDS_MAX = 0.25
REFUSED = frozenset({400})
UNKNOWN_CODING = frozenset({400, 501})
ROUTED = frozenset({200, 204, 400, 401, 404, 405, 421})
Line = str | bytes


@dataclass(frozen=True)
class Attack:
    """`raw`: sent at once. `statuses`: of which a relay's first answer is one; empty: it may also just hang up.

    `closes`: where the next request would begin is in doubt, so the connection must end. `leaves`: the caller sends
    FIN behind it, because what it promised will never come.
    """

    name: str
    raw: bytes
    statuses: frozenset[int] = REFUSED
    closes: bool = True
    leaves: bool = False


@dataclass(frozen=True)
class Outcome:
    """The statuses that came, in order; whether the other side closed; if not, what a good request behind it got that
    it should not have; every byte.
    """

    statuses: tuple[int, ...]
    closed: bool
    astray: str
    said: bytes


def chat_body(text: bytes) -> bytes:
    return b'{"model":"gpt-test","messages":[{"role":"user","content":"' + text + b'"}]}'


def inner(key: str) -> bytes:
    """A whole good request: whoever takes it for one answers it, logs it and sends it upstream."""
    body = chat_body(SMUGGLED)
    return post(key, b"X-Request-Id: " + SMUGGLED, b"Content-Length: %d" % len(body), body=body)


def head(key: str, first: Line, *lines: Line, host: Line = "Host: 127.0.0.1") -> bytes:
    """The request line and these header lines beside the usual ones; any of them may hold any byte."""
    usual = [first, host, f"Authorization: Bearer {key}" if key else "", "Content-Type: application/json"]
    raw = [line.encode("latin-1") if isinstance(line, str) else line for line in [*usual, *lines]]
    return b"\r\n".join([*filter(None, raw), b"", b""])


def post(key: str, *lines: Line, body: bytes = b"", version: str = "1.1") -> bytes:
    return head(key, f"POST {CHAT} HTTP/{version}", *lines) + body


def get(key: str, *lines: Line, path: Line = MODELS, method: Line = "GET") -> bytes:
    method, path = (one.encode("latin-1") if isinstance(one, str) else one for one in (method, path))
    return head(key, method + b" " + path + b" HTTP/1.1", *lines)


def echo(conn: Connection, request: Request) -> None:
    """As the upstream: answer a chat with what was asked, so that each request can be told by its answer."""
    said = request.json()["messages"][-1]["content"] if request.path.endswith(CHAT) else request.path  # type: ignore[index]
    conn.send(json_answer(chat_completion(str(said))))


def fire(port: int, key: str, attack: Attack, name: str, *, direct: bool) -> Outcome:
    """Send it, read what is answered, and send a good request of that name behind it where the connection stays open.

    Not `direct`: a front may take what follows for a second request; it waits for the rest of what looks unfinished.
    """
    with RawCaller(port, key=key) as caller:
        with contextlib.suppress(OSError):  # refused before all of it was sent
            caller.send(attack.raw)
            if attack.leaves:
                caller.half_close()
        to_the_end = direct and (attack.closes or attack.leaves)
        statuses = tuple(_statuses(caller, to_the_end, ANSWER_SECONDS_MAX if direct else FRONT_SECONDS_MAX))
        closed = caller.closed
        astray = good_answer(caller, name, 0 if direct else 2) if statuses and not closed else ""
        return Outcome(statuses, closed, "" if astray == "closed" else astray, bytes(caller.received))


def good_answer(caller: RawCaller, name: str, ahead: int = 0) -> str:
    """Send a good request of that name. Return what came instead of its answer, or "".

    `ahead`: how many answers to other requests may come before it.
    """
    try:
        caller.request("POST", CHAT, chat_body(name.encode()), [("Content-Type", "application/json")])
        for _ in range(ahead + 1):
            status = caller.read_head(ANSWER_SECONDS_MAX)[0]
            said = caller.read_all(ANSWER_SECONDS_MAX)
            if status == 200 and caller.ended_cleanly and b'"%b"' % name.encode() in said:
                return ""
    except (TimeoutError, ValueError) as error:
        return repr(error)
    except OSError:
        return "closed"
    return f"{status}: {said[:200]!r}"


def complaints(attack: Attack, outcome: Outcome, direct: bool) -> Iterator[str]:
    """What is wrong with an outcome. Not `direct`: a front has cleaned or refused the request as it sees fit."""
    statuses = outcome.statuses
    allowed = {501} if attack.statuses == UNKNOWN_CODING else set()
    if not direct:
        allowed = {501, 505}  # nginx says so itself, of a coding or a version that it does not know
    if any(status >= 500 and status not in allowed for status in statuses):
        yield f"answered {statuses}"
    if b"X-Request-Id: " + SMUGGLED in outcome.said:
        yield "answered what was smuggled"
    if outcome.astray:
        yield f"the request behind it, on the same connection: {outcome.astray}"
    if direct and attack.statuses and (statuses[:1] or (0,))[0] not in attack.statuses:
        yield f"answered {statuses}, allowed are {sorted(attack.statuses)}"
    if direct and attack.closes and not outcome.closed:
        yield f"left the connection open after {statuses}"


def _statuses(caller: RawCaller, to_the_end: bool, patience_seconds: float) -> Iterator[int]:
    """Of each final answer: of the first, or of all until the connection ends."""
    first = True
    while not caller.closed and (first or to_the_end):
        try:
            status, _ = caller.read_head(patience_seconds if first else 2.0)
            if status < 200:
                continue
            yield status
            caller.read_all(ANSWER_SECONDS_MAX)
        except (ConnectionError, TimeoutError):
            return
        first = False
