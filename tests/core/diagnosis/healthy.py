"""Evidence of an address at which all is well, to be made worse one thing at a time."""

from dataclasses import replace
from typing import Any

from relay.core.diagnosis.arrivals import Arrival
from relay.core.diagnosis.evidence import Answer, Arrived, Evidence, Failure, Finding, Stream
from relay.core.diagnosis.verdict import verdict

ORIGIN = "https://app.example"
SENT = ("X-API-Key", "Last-Event-ID", "X-Request-Id")
HEAD = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Request-Id", "doctor-1"),
    ("Transfer-Encoding", "chunked"),
    ("Access-Control-Allow-Origin", ORIGIN),
)
PREFLIGHT = (
    ("Access-Control-Allow-Origin", ORIGIN),
    ("Access-Control-Allow-Methods", "GET, POST"),
    ("Access-Control-Allow-Headers", "authorization, content-type, last-event-id"),
)
PAGE = (("Access-Control-Allow-Origin", ORIGIN), ("Content-Type", "application/json"))
UNKEYED = Answer(401, 11, PAGE, b'{"error":{"code":"missing_credentials"}}')
FRAMES = tuple(Arrival(number, 1000.0 + 100 * number, 90_000.0 + 100 * number) for number in range(1, 21))
STREAM = Stream(
    Answer(200, 11, HEAD), FRAMES, Arrived("HTTP/1.1", ("Authorization", "Origin", *SENT), True), ended=True
)
WELL = Evidence(
    path="/sse",
    origin=ORIGIN,
    live=Answer(200, 11, (), b'{"status":"alive"}', 0.012),
    unkeyed=UNKEYED,
    preflight=Answer(204, 11, PREFLIGHT),
    plain=STREAM,
    dressed=STREAM,
    sent_id="doctor-1",
    sent_names=SENT,
    silent=replace(STREAM, quiet_seconds=(25.0, 15.0, 0.0)),
)


def refused(status: int, code: str = "", **more: Any) -> Stream:
    """A self-test that got this instead."""
    return Stream(Answer(status, body=b'{"error":{"code":"%b"}}' % code.encode() if code else b"<h1>", **more))


def without(headers: tuple[tuple[str, str], ...], *names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers if name not in names)


def headed(stream: Stream, *more: tuple[str, str], less: tuple[str, ...] = ()) -> Stream:
    """The stream with other headers."""
    return replace(stream, answer=replace(stream.answer, headers=(*without(stream.answer.headers, *less), *more)))


def broken(stream: Stream, kind: str, detail: str) -> Stream:
    return replace(stream, ended=False, answer=replace(stream.answer, failure=Failure(kind, detail)))


def wrong(**worse: Any) -> list[Finding]:
    """What is found where this is otherwise."""
    return [finding for finding in verdict(replace(WELL, **worse)) if not finding.ok]
